//! The only types that may hold prompts, completions and keys.
//!
//! Neither can be printed, serialised or copied by accident; reading goes through a method whose name an auditor
//! can search for (`expose`).

use zeroize::Zeroize;

/// Content of prompts or completions, and nothing else.
///
/// Has no `Debug`, `Display`, `Clone`, `PartialEq` or `Serialize`, so it cannot get into a log line, an error or an
/// audit record by derive. Its memory is confined to the enclave and wiped by the process's zero-on-free allocator;
/// this type does not promise to wipe each copy that TLS or HTTP code makes.
#[derive(Default)]
pub struct Plaintext<T>(T);

impl<T> Plaintext<T> {
    /// Wraps content.
    pub const fn new(content: T) -> Self {
        Self(content)
    }

    /// The content, to read.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// The content, to change in place.
    pub const fn expose_mut(&mut self) -> &mut T {
        &mut self.0
    }

    /// The content itself; whoever calls this answers for where it goes.
    pub fn into_exposed(self) -> T {
        self.0
    }

    /// The same content in another form, without leaving the wrapper.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Plaintext<U> {
        Plaintext(change(self.0))
    }
}

/// Key material: a provider credential, a pepper. Wiped when dropped.
///
/// Has no `Debug`, `Display`, `Clone`, `Copy`, `PartialEq` or `Serialize`.
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Takes ownership of a secret; the caller wipes the copy that it may still hold.
    pub const fn new(secret: T) -> Self {
        Self(secret)
    }

    /// The secret, to use.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
