//! The run itself.

use std::io::{Read, Write};
use std::process::Command;
use std::time::Duration;

use postern_tests::canary::{Hits, total};
use postern_tests::http1::post;
use postern_tests::memory;
use postern_tests::packets::Found;
use postern_tests::programs::{self, Running, lasting_folder};
use postern_tests::upstream::{self, Step};
use postern_tests::workspace;

use super::channels::{CONTROL, IDLE_SECONDS, KEPT, World, let_connections_end};
use super::report::{Report, Row, size};
use super::scenarios::{self, Planter, Protocol};

/// How long a connection is watched that stays open: longer than stacks take to be wiped.
const KEPT_OPEN: Duration = Duration::from_secs(2);

/// How the run goes about it, for the report.
const METHOD: &str = "Written by `cargo test -p postern-tests --test canary` with `POSTERN_CANARY_REPORT=write`; the same run is part of every `cargo test`.

Clients speak TLS through `postern-host` to `postern-enclave`, which is in user, network and mount namespaces of its own where the machine allows it, and calls a provider in TLS through
`postern-host`. Nothing else leads in or out. Both legs are tapped between host and enclave, and every packet on every interface is captured, the one between host and provider among them. Each scenario plants fresh canaries: in the prompt, system prompt,
tool descriptions, schemas, arguments and results, image data (Base64), user name, names of an organisation and a team (kept in sealed records), header values, cookie, query, gateway key, answers whole and streamed, upstream's errors, and broken JSON, events, chunks and
heads. Memory is read through `/proc/PID/mem`: all readable and writable mappings. Searched encodings: as it is (which covers JSON escapes and URL encoding, since canaries are letters and digits),
Base64 in three alignments, hex, percent-encoding, `\\u` escapes, UTF-16, and backwards.

Nothing of the enclave was in swap, as the kernel counts.

Not searched: compressed copies (neither program links a compressor), the kernel's socket buffers, and texts that are cut in two by the ends of packets (in the taps they are whole).
Of HTTP/2 the library's own buffer keeps what it has read until the connection closes: the run closes its connections.";

/// Runs each scenario and searches memory right after it and two seconds later.
macro_rules! play {
    ($world:expr, $report:expr, $($scenario:ident: $name:literal),+ $(,)?) => {$(
        scenarios::$scenario(&$world, Planter::new(&$world, $name)).await;
        after(&$world, &mut $report, $name);
    )+};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_canary_is_found_once_its_request_is_over() {
    let mut world = World::closing_idle_after(IDLE_SECONDS);
    if memory::scan(world.enclave.process.id(), &world.canaries).is_err() {
        eprintln!("skipped: only root reads the memory of a process that is closed");
        return;
    }
    let mut report = Report::default();
    while_it_lasts(&world, &mut report).await;
    play!(world, report,
        success: "answers, HTTP/1.1",
        success_http2: "answers, HTTP/2",
        long_prompt: "a prompt of 4,000 canaries",
        refused: "requests that are refused",
        upstream_errors: "upstream errors",
        timeout: "upstream timeouts",
        client_aborts: "clients that leave",
        upstream_aborts: "upstreams that leave",
        overload: "more connections than allowed",
    );
    kept_open(&world, &mut report).await;
    after_idling(&world, &mut report);
    numbers(&world, &mut report).await;
    controls(&world, &mut report).await;
    let planter = Planter::new(&world, "shutdown");
    scenarios::shutdown(&mut world, planter).await;
    elsewhere(&world, &mut report);
    core_file(&mut report);
    report.planted = world.canaries.count();
    let text = report.render(METHOD);
    let place = if std::env::var_os("POSTERN_CANARY_REPORT").is_some() {
        workspace::root().join("tests/canary/REPORT.md")
    } else {
        lasting_folder().join("canary.md")
    };
    std::fs::write(place, &text).unwrap();
    assert!(
        report.void().is_empty(),
        "void, as these deliberate leaks were not found: {:?}\n{text}",
        report.void()
    );
    assert!(report.leaks().is_empty(), "{}\n{text}", report.leaks().join("\n"));
}

/// Those planted on purpose where they stay are not what is looked for.
fn others(hits: Hits) -> Hits {
    hits.into_iter().filter(|((place, _), _)| place.scenario != CONTROL).collect()
}

/// In the enclave's own memory its records may stay, too.
fn others_in_enclave(hits: Hits) -> Hits {
    others(hits).into_iter().filter(|((place, _), _)| place.scenario != KEPT).collect()
}

fn only_control(hits: Hits) -> Hits {
    hits.into_iter().filter(|((place, _), _)| place.scenario == CONTROL).collect()
}

/// What is in memory while a request is alive, and while its connection idles.
async fn while_it_lasts(world: &World, report: &mut Report) {
    let planter = Planter::new(world, "alive");
    let answer = planter.plant("answer");
    world.enclave.upstream.plan(move |_| {
        vec![
            Step::Send(upstream::stream_head()),
            Step::Send(upstream::chunk(&upstream::event(&answer))),
            Step::Wait(Duration::from_secs(1)),
            Step::Send(upstream::chunk(&upstream::done())),
            Step::Send(b"0\r\n\r\n".to_vec()),
        ]
    });
    let mut client = world.client().await;
    let request = post("/v1/chat/completions", &planter.chat("fake", true).to_string());
    client.send(&request).await.unwrap();
    client.answer_begins().await;
    let scan = world.enclave_memory();
    report.controls.push(Row {
        what: "enclave memory, while a stream is under way".to_owned(),
        searched: size(scan.bytes),
        hits: others_in_enclave(scan.hits),
    });
    client.answer().await.unwrap();
    let scan = world.enclave_memory();
    report.window.push(Row {
        what: "enclave memory, answered, connection kept open".to_owned(),
        searched: size(scan.bytes),
        hits: others_in_enclave(scan.hits),
    });
    drop(client);
}

/// The enclave's and the host's memory after a scenario. Stacks are wiped each second at the latest, so what is found at
/// once is noted, and what is found two seconds later is a leak.
fn after(world: &World, report: &mut Report, scenario: &str) {
    let_connections_end();
    for when in ["at once", "two seconds later"] {
        let (enclave, host) = (world.enclave_memory(), world.host_memory());
        for (whose, scan) in [("enclave", enclave), ("host", host)] {
            let row = Row {
                what: format!("{whose} memory, {scenario}, {when}"),
                searched: size(scan.bytes),
                hits: if whose == "enclave" { others_in_enclave(scan.hits) } else { others(scan.hits) },
            };
            let rows =
                if when == "at once" && whose == "enclave" { &mut report.window } else { &mut report.rows };
            rows.push(row);
        }
        std::thread::sleep(Duration::from_millis(1900));
    }
}

fn after_idling(world: &World, report: &mut Report) {
    std::thread::sleep(Duration::from_secs(IDLE_SECONDS + 6));
    let scan = world.enclave_memory();
    report.rows.push(Row {
        what: "enclave memory, all idle connections closed".to_owned(),
        searched: size(scan.bytes),
        hits: others_in_enclave(scan.hits),
    });
}

/// The page of numbers, in which the name of a model is a leak on purpose; and what of the enclave is in swap.
async fn numbers(world: &World, report: &mut Report) {
    world.enclave.upstream.plan(upstream::well);
    let planter = Planter::new(world, "counted");
    scenarios::counted(world, planter).await;
    // No page is newer than its interval.
    tokio::time::sleep(Duration::from_secs(11)).await;
    let (bytes, hits) = world.numbers();
    let control = only_control(hits.clone());
    for (rows, what, hits) in [
        (&mut report.rows, "the page of numbers", others(hits)),
        (&mut report.controls, "the page of numbers, where a model's name is a canary", control),
    ] {
        rows.push(Row { what: what.to_owned(), searched: size(bytes), hits });
    }
    assert_eq!(world.swapped(), 0, "KiB of the enclave are in swap");
}

/// A connection of HTTP/1.1 that was answered and stays open, a while later: less than an idle one is given.
async fn kept_open(world: &World, report: &mut Report) {
    let planter = Planter::new(world, "kept open");
    let kept = scenarios::answered(world, planter, Protocol::Http1).await;
    tokio::time::sleep(KEPT_OPEN).await;
    let scan = world.enclave_memory();
    assert!(kept.leave().await, "the connection was to stay open");
    report.rows.push(Row {
        what: "enclave memory, a connection of HTTP/1.1 that idles, two seconds later".to_owned(),
        searched: size(scan.bytes),
        hits: others_in_enclave(scan.hits),
    });
}

/// One leak on purpose for each channel.
async fn controls(world: &World, report: &mut Report) {
    let scan = world.enclave_memory();
    let records = scan.hits.iter().filter(|((place, _), _)| place.scenario == KEPT);
    report.controls.push(Row {
        what: "enclave memory, names in the records that it keeps".to_owned(),
        searched: size(scan.bytes),
        hits: records.map(|(place, count)| (place.clone(), *count)).collect(),
    });
    report.controls.push(Row {
        what: "enclave memory, the provider's key, which stays".to_owned(),
        searched: size(scan.bytes),
        hits: only_control(scan.hits),
    });
    // A client that does not encrypt: the host relays it as it is.
    let mut plain = std::net::TcpStream::connect(world.host).unwrap();
    plain
        .write_all(world.canaries.plant(CONTROL, "plain text through the host").repeat(50).as_bytes())
        .unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let scan = world.host_memory();
    report.controls.push(Row {
        what: "host memory, a client that does not encrypt".to_owned(),
        searched: size(scan.bytes),
        hits: only_control(scan.hits),
    });
    let _answer = plain.read(&mut [0; 64]);
    in_the_clear(world).await;
    for (leg, bytes, hits) in world.legs() {
        report.controls.push(Row {
            what: format!("between host and enclave, {leg}, somebody who does not encrypt"),
            searched: size(bytes),
            hits: only_control(hits),
        });
    }
    if let Some(found) = world.packets() {
        report.controls.push(Row {
            what: "packets on all interfaces, a client and a provider who do not encrypt".to_owned(),
            searched: packets(&found),
            hits: only_control(found.hits),
        });
    }
    let leak = world.enclave.folder().join("leak");
    std::fs::write(&leak, world.canaries.plant(CONTROL, "file")).unwrap();
    let (count, hits) = world.files();
    report.controls.push(Row {
        what: "files, one with a canary".to_owned(),
        searched: format!("{count} new files"),
        hits: only_control(hits),
    });
    std::fs::remove_file(leak).unwrap();
    let name = world.canaries.plant(CONTROL, "log");
    let mut command = Command::new(programs::path("postern-enclave"));
    let (_, said) = Running::try_start(command.args(["--config", &name])).unwrap_err();
    report.controls.push(Row {
        what: "logs, an enclave that is given a canary as a file's name".to_owned(),
        searched: size(said.len()),
        hits: only_control(world.canaries.search(said.as_bytes())),
    });
}

/// Asks the model whose provider does not encrypt.
async fn in_the_clear(world: &World) {
    let planter = Planter::new(world, CONTROL);
    for round in 1..=20 {
        let status = scenarios::asked(world, &planter, "plain", false).await.status;
        assert!(status == 200 && world.sent_in_the_clear() == round, "{status}");
        // The kernel drops packets that find no room on a busy machine.
        if world.packets().is_none_or(|found| total(&only_control(found.hits)) > 0) {
            break;
        }
    }
}

fn packets(found: &Found) -> String {
    format!("{} packets, {}", found.packets, size(found.bytes))
}

/// Logs, files and the wire, for the whole run.
fn elsewhere(world: &World, report: &mut Report) {
    let (logged, logs) = world.logs();
    let (count, files) = world.files();
    assert!(world.kept_on_disk() > 10_000, "records and log were to be among the files");
    for (what, searched, hits) in [
        ("standard error of enclave and host", size(logged), logs),
        (
            "files that are new in the working folder, /dev/shm and the temporary folder, sealed records and the audit log among them",
            format!("{count} files"),
            files,
        ),
    ] {
        report.rows.push(Row { what: what.to_owned(), searched, hits: others(hits) });
    }
    for (leg, bytes, hits) in world.legs() {
        let what = format!("between host and enclave, {leg}, both ways");
        report.rows.push(Row { what, searched: size(bytes), hits: others(hits) });
    }
    if let Some(found) = world.packets() {
        let searched = packets(&found);
        report.rows.push(Row {
            what: "packets on all interfaces, host and provider among them".to_owned(),
            searched,
            hits: others(found.hits),
        });
    }
}

/// Aborts an enclave with a stream under way that was allowed to leave a core file.
fn core_file(report: &mut Report) {
    let runtime = tokio::runtime::Handle::current();
    let mut world = tokio::task::block_in_place(|| World::closing_idle_after(IDLE_SECONDS));
    let planter = Planter::new(&world, "aborted");
    let answer = planter.plant("answer");
    world.enclave.upstream.plan(move |_| {
        vec![
            Step::Send(upstream::stream_head()),
            Step::Send(upstream::chunk(&upstream::event(&answer))),
            Step::Hold,
        ]
    });
    tokio::task::block_in_place(|| {
        runtime.block_on(async {
            let mut client = world.client().await;
            client
                .send(&post("/v1/chat/completions", &planter.chat("fake", true).to_string()))
                .await
                .unwrap();
            client.answer_begins().await;
            assert!(total(&world.enclave_memory().hits) > 1, "control: it is alive");
            let id = world.enclave.process.id().to_string();
            assert!(Command::new("kill").args(["-ABRT", &id]).status().unwrap().success());
            world.enclave.process.wait(Duration::from_secs(5)).expect("it ends");
        });
    });
    let (count, hits) = world.files();
    report.rows.push(Row {
        what: "files left by an enclave that was aborted in mid-stream, core files allowed".to_owned(),
        searched: format!("{count} files"),
        hits: others(hits),
    });
}
