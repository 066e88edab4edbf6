//! The gates: what learners may get out of shaped streams, and what they must get out of unshaped ones.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use postern_tests::classifier::{Auc, Bits, Sample, Triple, information, naive_bayes, nearest_neighbours};
use postern_tests::programs::lasting_folder;
use postern_tests::workspace;

use super::corpus::{TOKENS, answers, digest};
use super::record::{Recorded, streamed};

/// Answers of each kind.
const EACH: usize = 500;

/// What the learners make of one shape.
struct Judged {
    shape: &'static str,
    sizes: Auc,
    neighbours: Auc,
    times: Auc,
    bits: Bits,
    bytes: usize,
    took: Duration,
}

fn judge(shape: &'static str, recorded: &[Recorded]) -> Judged {
    let samples = |show: &dyn Fn(&Recorded) -> Vec<u64>| -> Vec<Sample> {
        recorded.iter().map(|one| Sample { shown: show(one), positive: one.index % 2 == 1 }).collect()
    };
    let sizes = samples(&|one| one.records.iter().map(|record| record.size as u64).collect());
    // A size and the time since the record before, in steps of five milliseconds, as one observation.
    let times = samples(&|one| {
        let gaps = one.records.windows(2).map(|pair| pair[1].at.duration_since(pair[0].at).as_millis() / 5);
        let gaps = std::iter::once(0).chain(gaps).map(|gap| u64::try_from(gap).unwrap());
        one.records.iter().zip(gaps).map(|(record, gap)| record.size as u64 * 1000 + gap.min(999)).collect()
    });
    // The first record carries the head, which is as long as the names of deployments.
    let told = |one: &Recorded| -> Vec<Triple> {
        let records = one.records.iter().zip(&one.inside).skip(1).filter(|(_, (events, _))| *events > 0);
        records.map(|(record, (events, letters))| (*events, *letters, record.size)).collect()
    };
    let triples: Vec<Vec<Triple>> = recorded.iter().map(told).collect();
    let found: usize = triples.iter().map(Vec::len).sum();
    assert!(found > recorded.len(), "{shape}: tokens were not found in the records");
    Judged {
        shape,
        sizes: naive_bayes(&sizes),
        neighbours: nearest_neighbours(&sizes),
        times: naive_bayes(&times),
        bits: information(&triples),
        bytes: recorded.iter().map(|one| one.bytes).sum(),
        took: recorded.iter().map(|one| one.took).sum::<Duration>() / u32::try_from(recorded.len()).unwrap(),
    }
}

fn report(judged: &[Judged], corpus: &str) -> String {
    let mut out = format!(
        "# Traffic analysis\n\n\
Written by `cargo test -p postern-tests --test traffic` with `POSTERN_TRAFFIC_REPORT=write`; the same run is part of every `cargo test`. This one is of {}.\n\n\
{EACH} answers each of two kinds (legal and engineering prose), {TOKENS} tokens each, one token an event every 12 ms, so that the kinds differ in nothing but the lengths of words. They are\n\
streamed through `postern-enclave`, 32 at a time, and captured as sizes and times of TLS records. Scores are areas under the curve over five folds, with the 95 % interval of 300 resamplings: 0.5 is\n\
guessing, and a learner with nothing to learn scores somewhat below it, since what is frequent in the folds it learns from is rare in the one left out. Bits are what a record's size tells about the letters in it to\n\
those who know how many tokens are in it: plug-in estimate, and with Miller and Madow's correction, of which the interval is (300 resamplings of answers). The answers are the same in every run (SHA-256 of their tokens: `{corpus}`).\n\n\
| shape | naive Bayes, sizes | nearest neighbours, sizes | naive Bayes, sizes and times | bits | corrected | bytes | time |\n|---|---|---|---|---|---|---|---|\n",
        workspace::today()
    );
    let auc = |auc: &Auc| format!("{:.2} ({:.2} to {:.2})", auc.value, auc.low, auc.high);
    let plain = judged[0].bytes as f64;
    for one in judged {
        let _infallible = writeln!(
            out,
            "| `{}` | {} | {} | {} | {:.2} | {:.3} ({:.3} to {:.3}) | {:.2} | {} ms |",
            one.shape,
            auc(&one.sizes),
            auc(&one.neighbours),
            auc(&one.times),
            one.bits.plug_in,
            one.bits.corrected,
            one.bits.low,
            one.bits.high,
            one.bytes as f64 / plain,
            one.took.as_millis()
        );
    }
    out + "\nBytes are relative to `none`; times are those of whole answers on a busy machine. Who talks when, how long an answer is, and how fast tokens come stays visible.\n"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_42_shaped_streams_do_not_tell_their_topics_apart() {
    let answers = Arc::new(answers(2 * EACH));
    let none = judge("none", &streamed(&answers, "none").await);
    let bucketed = judge("bucketed", &streamed(&answers, "bucketed").await);
    let constant = judge("constant", &streamed(&answers, "constant").await);
    let judged = [none, bucketed, constant];
    let text = report(&judged, &digest(&answers));
    let place = if std::env::var_os("POSTERN_TRAFFIC_REPORT").is_some() {
        workspace::root().join("tests/traffic/REPORT.md")
    } else {
        lasting_folder().join("traffic.md")
    };
    std::fs::write(place, &text).unwrap();
    let [none, bucketed, constant] = judged;
    // control: unshaped, the same learners and the same answers
    assert!(none.sizes.value > 0.75 && none.times.value > 0.75 && none.bits.low > 1.0, "{text}");
    for shaped in [&bucketed, &constant] {
        assert!(shaped.sizes.value <= 0.55 && shaped.neighbours.value <= 0.55, "{}: {text}", shaped.shape);
        assert!(shaped.times.value <= 0.60, "{}: {text}", shaped.shape);
        assert!(shaped.bits.corrected <= 0.05, "{}: {text}", shaped.shape);
        // what cannot be told from guessing has guessing in its interval
        assert!(shaped.sizes.low <= 0.5, "{}: {text}", shaped.shape);
    }
    assert!(bucketed.took < none.took + Duration::from_millis(60), "{text}");
}
