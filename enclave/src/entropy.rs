//! The gate before the first key: a host that starves or repeats randomness gets no keys at all.
//!
//! The host controls almost every entropy input of a virtual machine. The CPU's own generator is the one it
//! does not, so both are drawn, both must look alive, and key seeds mix the two.

use rand_core::TryRng as _;
use ring::hkdf;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

/// Why no key may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntropyError {
    /// The kernel's generator gave no bytes.
    Kernel,
    /// The CPU's generator failed ten times in a row.
    Hardware,
    /// Two draws of 256 bits were equal.
    Repeated,
}

impl EntropyError {
    /// Stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Kernel => "ENTROPY_KERNEL",
            Self::Hardware => "ENTROPY_HARDWARE",
            Self::Repeated => "ENTROPY_REPEATED",
        }
    }
}

/// A source of random bytes; the kernel and the CPU in production.
pub trait Draw {
    /// Fills `out`, or says that it could not.
    fn draw(&mut self, out: &mut [u8; 32]) -> Result<(), EntropyError>;
}

/// The kernel's generator.
#[derive(Debug)]
pub struct Kernel(SystemRandom);

impl Default for Kernel {
    fn default() -> Self {
        Self(SystemRandom::new())
    }
}

impl Draw for Kernel {
    fn draw(&mut self, out: &mut [u8; 32]) -> Result<(), EntropyError> {
        self.0.fill(out).map_err(|_| EntropyError::Kernel)
    }
}

/// The CPU's generator, RDRAND. Absent on other architectures, where it counts as failed.
#[derive(Debug, Default)]
pub struct Hardware;

impl Draw for Hardware {
    fn draw(&mut self, out: &mut [u8; 32]) -> Result<(), EntropyError> {
        let mut generator = rdrand::RdRand::new().map_err(|_| EntropyError::Hardware)?;
        // The library retries each word ten times, as the CPU vendors ask.
        generator.try_fill_bytes(out).map_err(|_| EntropyError::Hardware)
    }
}

/// Sources that passed the gate. The only way to a key seed.
#[derive(Debug)]
pub struct Seeds<K = Kernel, H = Hardware> {
    kernel: K,
    hardware: H,
}

impl<K: Draw, H: Draw> Seeds<K, H> {
    /// Draws twice from each source and refuses stuck ones.
    ///
    /// # Errors
    /// [`EntropyError`] names the source.
    pub fn open(mut kernel: K, mut hardware: H) -> Result<Self, EntropyError> {
        alive(&mut kernel)?;
        alive(&mut hardware)?;
        Ok(Self { kernel, hardware })
    }

    /// A fresh 256-bit seed: HKDF-SHA-256 over both sources, with the key's role as label.
    ///
    /// # Errors
    /// [`EntropyError`] when a source stops working.
    pub fn seed(&mut self, role: &'static str) -> Result<Zeroizing<[u8; 32]>, EntropyError> {
        let mut salt = Zeroizing::new([0; 32]);
        let mut secret = Zeroizing::new([0; 32]);
        self.hardware.draw(&mut salt)?;
        self.kernel.draw(&mut secret)?;
        let key = hkdf::Salt::new(hkdf::HKDF_SHA256, salt.as_slice()).extract(secret.as_slice());
        let mut seed = Zeroizing::new([0; 32]);
        key.expand(&[b"postern/1 key seed", role.as_bytes()], hkdf::HKDF_SHA256)
            .and_then(|material| material.fill(seed.as_mut_slice()))
            .map_err(|_| EntropyError::Kernel)?;
        Ok(seed)
    }
}

fn alive(source: &mut impl Draw) -> Result<(), EntropyError> {
    let (mut first, mut second) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
    source.draw(&mut first)?;
    source.draw(&mut second)?;
    if *first == *second { Err(EntropyError::Repeated) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Stuck(u8);
    impl Draw for Stuck {
        fn draw(&mut self, out: &mut [u8; 32]) -> Result<(), EntropyError> {
            *out = [self.0; 32];
            Ok(())
        }
    }

    struct Dead;
    impl Draw for Dead {
        fn draw(&mut self, _: &mut [u8; 32]) -> Result<(), EntropyError> {
            Err(EntropyError::Hardware)
        }
    }

    struct Twice(u8);
    impl Draw for Twice {
        fn draw(&mut self, out: &mut [u8; 32]) -> Result<(), EntropyError> {
            self.0 = self.0.wrapping_add(1);
            *out = [self.0 % 4; 32];
            Ok(())
        }
    }

    #[test]
    fn stuck_or_dead_sources_make_no_keys() {
        assert_eq!(Seeds::open(Stuck(7), Kernel::default()).err(), Some(EntropyError::Repeated));
        assert_eq!(Seeds::open(Kernel::default(), Stuck(0)).err(), Some(EntropyError::Repeated));
        assert_eq!(Seeds::open(Kernel::default(), Dead).err(), Some(EntropyError::Hardware));
    }

    #[test]
    fn seeds_differ_by_draw_and_by_role() {
        let mut seeds = Seeds::open(Kernel::default(), Kernel::default()).unwrap();
        assert_ne!(*seeds.seed("a").unwrap(), *seeds.seed("a").unwrap());
        let make = |role| *Seeds::open(Twice(0), Twice(0)).unwrap().seed(role).unwrap();
        assert_eq!(make("a"), make("a"));
        assert_ne!(make("a"), make("b"));
    }
}
