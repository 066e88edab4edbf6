//! SEV-SNP reports through `/dev/sev-guest`, for kernels without configfs-tsm (before 6.7). Certificates come from the
//! host in any case, so only the bare report is asked for.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use attestation::attester::{Attester, AttesterError, Quote};
use attestation::digest::ReportData;
use attestation::evidence::TeeType;
use sev::error::UserApiError;
use sev::firmware::guest::Firmware;

/// The device, for messages.
pub const DEVICE: &str = "/dev/sev-guest";

/// Privilege levels a guest may be at. The processor refuses those above the guest's own.
const LEVELS: std::ops::RangeInclusive<u32> = 0..=3;
/// How often a busy processor is asked.
const ATTEMPTS: u32 = 6;
/// Wait before the second attempt; doubled before each further one.
const FIRST_WAIT: Duration = Duration::from_millis(10);

/// The one request made of the device, so that tests can play it.
trait Device: Send {
    fn report(&mut self, report_data: [u8; 64], level: u32) -> Result<Vec<u8>, UserApiError>;
    fn wait(&mut self, time: Duration);
}

impl Device for Firmware {
    fn report(&mut self, report_data: [u8; 64], level: u32) -> Result<Vec<u8>, UserApiError> {
        self.get_report(None, Some(report_data), Some(level))
    }

    fn wait(&mut self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// Asks the security processor through its own device.
pub struct SevGuest {
    device: Mutex<Box<dyn Device>>,
}

impl std::fmt::Debug for SevGuest {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("SevGuest").finish_non_exhaustive()
    }
}

impl SevGuest {
    /// Opens the device.
    ///
    /// # Errors
    /// `Unavailable` when it is not there or may not be used.
    pub fn detect() -> Result<Self, AttesterError> {
        match Firmware::open() {
            Ok(device) => Ok(Self { device: Mutex::new(Box::new(device)) }),
            Err(error) => Err(unusable(error.kind())),
        }
    }
}

impl Attester for SevGuest {
    fn tee(&self) -> TeeType {
        TeeType::Snp
    }

    fn quote(&self, report_data: &ReportData) -> Result<Quote, AttesterError> {
        let mut device = self.device.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = settled(device.as_mut(), report_data)?;
        Ok(Quote { bytes, auxiliary: Vec::new() })
    }
}

fn settled(device: &mut dyn Device, report_data: &ReportData) -> Result<Vec<u8>, AttesterError> {
    let mut wait = FIRST_WAIT;
    for _ in 1..ATTEMPTS {
        match attempt(device, report_data) {
            Err(AttesterError::Busy) => device.wait(wait),
            other => return other,
        }
        wait = wait.saturating_mul(2);
    }
    attempt(device, report_data)
}

/// A report at the guest's own level: the lowest that the processor does not refuse.
fn attempt(device: &mut dyn Device, report_data: &ReportData) -> Result<Vec<u8>, AttesterError> {
    for level in LEVELS {
        match device.report(*report_data.as_bytes(), level) {
            // the processor's answer names what it signed, or it is no answer to us
            Ok(report) if report.get(0x50..0x90) == Some(report_data.as_bytes().as_slice()) => {
                return Ok(report);
            }
            Ok(_) => return Err(AttesterError::Malformed("a report over other data")),
            Err(UserApiError::VmmError(_)) => return Err(AttesterError::Busy),
            Err(_) => {}
        }
    }
    Err(AttesterError::Refused)
}

fn unusable(kind: std::io::ErrorKind) -> AttesterError {
    if kind == std::io::ErrorKind::NotFound {
        AttesterError::Unavailable("/dev/sev-guest is not there: is the sev-guest module loaded?")
    } else if kind == std::io::ErrorKind::PermissionDenied {
        AttesterError::Unavailable("/dev/sev-guest may not be used by this user")
    } else {
        AttesterError::Io { doing: "opening /dev/sev-guest", kind }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sev::error::{FirmwareError, VmmError};

    const DATA: ReportData = ReportData::new([7; 64]);

    /// A guest at some level on a processor that is busy for a while.
    struct Fake {
        level: u32,
        busy: usize,
        other_data: bool,
        waits: Vec<Duration>,
    }

    impl Device for Fake {
        fn report(&mut self, report_data: [u8; 64], level: u32) -> Result<Vec<u8>, UserApiError> {
            if self.busy > 0 {
                self.busy -= 1;
                return Err(UserApiError::VmmError(VmmError::RateLimitRetryRequest));
            }
            if level < self.level {
                return Err(UserApiError::FirmwareError(FirmwareError::UnknownSevError(0x16)));
            }
            let mut report = vec![0; 1184];
            report[0x30] = u8::try_from(level).unwrap();
            report[0x50..0x90].copy_from_slice(&report_data);
            report[0x50] ^= u8::from(self.other_data);
            Ok(report)
        }

        fn wait(&mut self, time: Duration) {
            self.waits.push(time);
        }
    }

    fn fake() -> Fake {
        Fake { level: 0, busy: 0, other_data: false, waits: Vec::new() }
    }

    #[test]
    fn the_report_is_at_the_guests_own_level() {
        for level in 0..=3 {
            let report = settled(&mut Fake { level, ..fake() }, &DATA).unwrap();
            assert_eq!((u32::from(report[0x30]), &report[0x50..0x90]), (level, [7; 64].as_slice()));
        }
        assert_eq!(settled(&mut Fake { level: 4, ..fake() }, &DATA), Err(AttesterError::Refused));
    }

    #[test]
    fn a_busy_processor_is_asked_again_and_other_data_are_no_answer() {
        let mut busy = Fake { busy: 2, ..fake() };
        assert!(settled(&mut busy, &DATA).is_ok());
        assert_eq!(busy.waits, [10, 20].map(Duration::from_millis));
        assert_eq!(settled(&mut Fake { busy: 99, ..fake() }, &DATA), Err(AttesterError::Busy));
        let other = settled(&mut Fake { other_data: true, ..fake() }, &DATA);
        assert_eq!(other, Err(AttesterError::Malformed("a report over other data")));
    }

    #[test]
    fn what_is_missing_is_named() {
        if !std::path::Path::new(DEVICE).exists() {
            assert!(matches!(SevGuest::detect(), Err(AttesterError::Unavailable(_))));
        }
        let denied = unusable(std::io::ErrorKind::PermissionDenied).to_string();
        assert!(denied.contains("may not be used"), "{denied}");
    }
}
