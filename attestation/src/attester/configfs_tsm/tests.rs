use super::*;
use std::collections::BTreeSet;
use std::collections::VecDeque;

/// A kernel: one entry, a generation that grows with each write, and faults to come.
#[derive(Default)]
struct Fake {
    entries: BTreeSet<PathBuf>,
    provider: &'static str,
    generation: u64,
    inblob: Vec<u8>,
    outblob: Option<Vec<u8>>,
    auxblob: Option<Vec<u8>>,
    /// Errors of the next reads of `outblob`.
    busy: VecDeque<io::ErrorKind>,
    /// Foreign writes that slip in after ours.
    races: VecDeque<u64>,
    waits: Vec<Duration>,
    missing: bool,
}

impl Fake {
    fn new() -> Self {
        Self { provider: "sev_guest\n", auxblob: Some(b"table".to_vec()), ..Self::default() }
    }
}

impl Files for Fake {
    fn make(&mut self, folder: &Path) -> io::Result<()> {
        if self.missing {
            return Err(io::ErrorKind::NotFound.into());
        }
        if self.entries.insert(folder.to_owned()) { Ok(()) } else { Err(io::ErrorKind::AlreadyExists.into()) }
    }

    fn remove(&mut self, folder: &Path) -> io::Result<()> {
        if self.entries.remove(folder) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn read(&mut self, file: &Path, _limit: usize) -> io::Result<Vec<u8>> {
        assert!(self.entries.contains(file.parent().expect("entry")), "read outside an entry");
        match file.file_name().expect("name").to_str().expect("text") {
            "provider" => Ok(self.provider.as_bytes().to_vec()),
            "generation" => Ok(format!("{}\n", self.generation).into_bytes()),
            "outblob" => match self.busy.pop_front() {
                Some(kind) => Err(kind.into()),
                None => {
                    Ok(self.outblob.clone().unwrap_or_else(|| [b"report over ", &self.inblob[..]].concat()))
                }
            },
            "auxblob" => self.auxblob.clone().ok_or_else(|| io::ErrorKind::NotFound.into()),
            other => panic!("{other} is not an attribute"),
        }
    }

    fn write(&mut self, file: &Path, bytes: &[u8]) -> io::Result<()> {
        assert_eq!(file.file_name().expect("name"), "inblob");
        self.inblob = bytes.to_vec();
        self.generation += 1 + self.races.pop_front().unwrap_or(0);
        Ok(())
    }

    fn wait(&mut self, time: Duration) {
        self.waits.push(time);
    }
}

const DATA: ReportData = ReportData::new([7; 64]);

fn ask(fake: &mut Fake) -> Result<Quote, AttesterError> {
    let result = request(fake, Path::new("/tsm/entry"), &DATA);
    assert!(fake.entries.is_empty(), "the entry is removed whatever happens");
    result
}

#[test]
fn a_quote_is_over_our_data_with_the_table() {
    let quote = ask(&mut Fake::new()).expect("quote");
    assert_eq!(quote.bytes, [b"report over ".as_slice(), &[7; 64]].concat());
    assert_eq!(quote.auxiliary, b"table");
    let without = Fake { auxblob: None, ..Fake::new() };
    assert_eq!(ask(&mut { without }).expect("quote").auxiliary, b"");
}

#[test]
fn a_busy_device_is_asked_again_with_growing_waits() {
    let busy = [io::ErrorKind::ResourceBusy, io::ErrorKind::WouldBlock, io::ErrorKind::ResourceBusy];
    let mut fake = Fake { busy: busy.into(), ..Fake::new() };
    assert!(ask(&mut fake).is_ok());
    assert_eq!(fake.waits, [10, 20, 40].map(Duration::from_millis));
    let mut always = Fake { busy: vec![io::ErrorKind::ResourceBusy; 99].into(), ..Fake::new() };
    assert_eq!(ask(&mut always), Err(AttesterError::Busy));
    assert_eq!(always.waits.len(), 5);
}

#[test]
fn a_foreign_write_between_ours_and_the_answer_is_noticed() {
    let mut once = Fake { races: vec![1].into(), ..Fake::new() };
    assert!(ask(&mut once).is_ok(), "the second attempt is undisturbed");
    assert_eq!(once.waits.len(), 1);
    let mut always = Fake { races: vec![1; 99].into(), ..Fake::new() };
    assert_eq!(ask(&mut always), Err(AttesterError::Busy));
}

#[test]
fn broken_answers_are_told_apart() {
    let huge = |bytes: usize| Some(vec![0; bytes]);
    let mut fake = Fake { outblob: huge(MAX_CPU_EVIDENCE_BYTES + 1), ..Fake::new() };
    assert_eq!(ask(&mut fake), Err(AttesterError::Malformed("outblob over its limit")));
    let mut fake = Fake { auxblob: huge(MAX_AUXILIARY_BYTES + 1), ..Fake::new() };
    assert_eq!(ask(&mut fake), Err(AttesterError::Malformed("auxblob over its limit")));
    let mut fake = Fake { outblob: huge(0), ..Fake::new() };
    assert_eq!(ask(&mut fake), Err(AttesterError::Refused));
    let mut fake = Fake { busy: vec![io::ErrorKind::InvalidInput].into(), ..Fake::new() };
    let error = AttesterError::Io { doing: "reading outblob", kind: io::ErrorKind::InvalidInput };
    assert_eq!(ask(&mut fake), Err(error));
}

#[test]
fn detection_names_the_hardware_or_what_is_missing() {
    let find = |provider_name, missing| {
        let mut fake = Fake { provider: provider_name, missing, ..Fake::new() };
        let found = provider(&mut fake, Path::new("/tsm/entry"));
        assert!(fake.entries.is_empty());
        found
    };
    assert_eq!(find("sev_guest\n", false), Ok(TeeType::Snp));
    assert_eq!(find("tdx_guest\n", false), Ok(TeeType::Tdx));
    assert!(matches!(find("arm_cca_guest\n", false), Err(AttesterError::Unavailable(_))));
    assert!(matches!(find("sev_guest\n", true), Err(AttesterError::Unavailable(_))));
    let nowhere = ConfigfsTsm::detect("/nonexistent/tsm/report").expect_err("no such folder");
    assert!(matches!(nowhere, AttesterError::Unavailable(_)));
}
