//! The run itself.

use std::io::{Read, Write};
use std::process::Command;
use std::time::Duration;

use postern_tests::canary::{Hits, total};
use postern_tests::http1::post;
use postern_tests::memory;
use postern_tests::programs::{self, Running, lasting_folder};
use postern_tests::upstream::{self, Step};
use postern_tests::workspace;

use super::channels::{CONTROL, IDLE_SECONDS, KEPT, World, let_connections_end};
use super::report::{Report, Row, size};
use super::scenarios::{self, Planter};

/// How the run goes about it, for the report.
const METHOD: &str = "Written by `cargo test -p postern-tests --test canary` with `POSTERN_CANARY_REPORT=write`; the same run is part of every `cargo test`.

Clients speak TLS through `postern-host` to `postern-enclave`, which calls a provider over plain HTTP on loopback. Each scenario plants fresh canaries: in the prompt, system prompt,
tool descriptions, schemas, arguments and results, image data (Base64), user name, names of an organisation and a team (kept in sealed records), header values, cookie, query, gateway key, answers whole and streamed, upstream's errors, and broken JSON, events, chunks and
heads. Memory is read through `/proc/PID/mem`: all readable and writable mappings. Searched encodings: as it is (which covers JSON escapes and URL encoding, since canaries are letters and digits),
Base64 in three alignments, hex, percent-encoding, `\\u` escapes, UTF-16, and backwards.

Nothing of the enclave was in swap, as the kernel counts.

Not searched: compressed copies (neither program links a compressor) and the kernel's socket buffers. The provider's leg is plain here, so the host's
memory and the capture are those of the client's leg.";

/// Runs each scenario and searches memory right after it and two seconds later.
macro_rules! play {
    ($world:expr, $report:expr, $($scenario:ident: $name:literal),+ $(,)?) => {$(
        scenarios::$scenario(&$world, Planter::new(&$world, $name)).await;
        after(&$world, &mut $report, $name);
    )+};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_canary_is_found_once_its_request_is_over() {
    let mut world = World::start();
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
    after_idling(&world, &mut report);
    numbers(&world, &mut report).await;
    controls(&world, &mut report);
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

/// One leak on purpose for each channel.
fn controls(world: &World, report: &mut Report) {
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
    let (bytes, hits) = world.wire();
    report.controls.push(Row {
        what: "between host and enclave, a client that does not encrypt".to_owned(),
        searched: size(bytes),
        hits: only_control(hits),
    });
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

/// Logs, files and the wire, for the whole run.
fn elsewhere(world: &World, report: &mut Report) {
    let (logged, logs) = world.logs();
    let (crossed, wire) = world.wire();
    let (count, files) = world.files();
    assert!(world.kept_on_disk() > 10_000, "records and log were to be among the files");
    for (what, searched, hits) in [
        ("standard error of enclave and host", size(logged), logs),
        ("between host and enclave, both ways", size(crossed), wire),
        (
            "files that are new in the working folder, /dev/shm and the temporary folder, sealed records and the audit log among them",
            format!("{count} files"),
            files,
        ),
    ] {
        report.rows.push(Row { what: what.to_owned(), searched, hits: others(hits) });
    }
}

/// Aborts an enclave with a stream under way that was allowed to leave a core file.
fn core_file(report: &mut Report) {
    let runtime = tokio::runtime::Handle::current();
    let mut world = tokio::task::block_in_place(World::start);
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
