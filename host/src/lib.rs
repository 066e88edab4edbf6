//! The untrusted relay: moves ciphertext, sees nothing.
