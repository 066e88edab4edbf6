//! Half-close, back-pressure, idleness, aborts: over pipes whose size the test chooses, and over TCP.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::advance,
};

use super::*;

const IDLE: Duration = Duration::from_mins(1);

/// A relay between two pipes of `size` bytes; the test holds the outer ends.
fn relayed(size: usize, early: &[u8]) -> (DuplexStream, DuplexStream, InFlight, JoinHandle<Outcome>) {
    let (near, mut near_inner) = duplex(size);
    let (far, mut far_inner) = duplex(size);
    let (in_flight, early) = (InFlight::default(), early.to_vec());
    let shared = in_flight.clone();
    let task =
        tokio::spawn(async move { relay(&mut near_inner, &mut far_inner, early, IDLE, &shared).await });
    (near, far, in_flight, task)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| u8::try_from(index % 251).unwrap()).collect()
}

#[tokio::test]
async fn every_byte_arrives_whatever_the_pipes_take_at_once() {
    for (size, length) in [(1, 3000), (7, 5000), (65536, 300_000), (200_000, 1_000_000)] {
        let (mut near, mut far, in_flight, task) = relayed(size, b"early");
        let sent = pattern(length);
        let copy = sent.clone();
        let echo = tokio::spawn(async move {
            let (mut reader, mut writer) = tokio::io::split(&mut far);
            tokio::io::copy(&mut reader, &mut writer).await.unwrap();
            writer.shutdown().await.unwrap();
        });
        let (mut reader, mut writer) = tokio::io::split(&mut near);
        let mut received = Vec::new();
        let (written, read) = tokio::join!(
            async {
                writer.write_all(&copy).await?;
                writer.shutdown().await
            },
            reader.read_to_end(&mut received)
        );
        written.unwrap();
        read.unwrap();
        echo.await.unwrap();
        assert!(received == [b"early", &sent[..]].concat(), "size {size}");
        let total = u64::try_from(length + 5).unwrap();
        assert_eq!(task.await.unwrap(), Outcome { reason: Reason::Complete, up: total, down: total });
        assert_eq!(in_flight.bytes(), 0);
    }
}

#[tokio::test]
async fn the_near_side_may_end_first() {
    let (mut near, mut far, _, task) = relayed(1024, b"");
    near.write_all(b"question").await.unwrap();
    near.shutdown().await.unwrap();
    let mut question = Vec::new();
    far.read_to_end(&mut question).await.unwrap();
    assert_eq!(question, b"question");
    assert!(!task.is_finished(), "the other direction goes on");
    far.write_all(b"answer").await.unwrap();
    far.shutdown().await.unwrap();
    let mut answer = Vec::new();
    near.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"answer");
    assert_eq!(task.await.unwrap(), Outcome { reason: Reason::Complete, up: 8, down: 6 });
}

#[tokio::test]
async fn the_far_side_may_end_first() {
    let (mut near, mut far, _, task) = relayed(1024, b"");
    far.write_all(b"banner").await.unwrap();
    far.shutdown().await.unwrap();
    let mut banner = Vec::new();
    near.read_to_end(&mut banner).await.unwrap();
    assert_eq!(banner, b"banner");
    near.write_all(b"still here").await.unwrap();
    let mut heard = [0; 10];
    far.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"still here");
    near.shutdown().await.unwrap();
    assert_eq!(task.await.unwrap().reason, Reason::Complete);
}

#[tokio::test]
async fn a_slow_reader_stops_the_writer_and_costs_one_buffer() {
    let (mut near, mut far, in_flight, task) = relayed(4096, b"");
    let writer = tokio::spawn(async move {
        let chunk = pattern(1 << 20);
        let mut accepted = 0;
        for _ in 0..64 {
            match tokio::time::timeout(Duration::from_millis(50), far.write(&chunk)).await {
                Ok(written) => accepted += written.unwrap(),
                Err(_) => break,
            }
        }
        (far, accepted)
    });
    let (mut far, accepted) = writer.await.unwrap();
    assert!(
        accepted <= 3 * 4096 + SCRATCH_BYTES,
        "{accepted} bytes taken in for a reader that reads nothing"
    );
    assert!((1..=SCRATCH_BYTES).contains(&in_flight.bytes()), "{} held", in_flight.bytes());
    let mut received = vec![0; accepted];
    near.read_exact(&mut received).await.unwrap();
    assert_eq!(in_flight.bytes(), 0, "control: once read, nothing is held");
    far.shutdown().await.unwrap();
    near.shutdown().await.unwrap();
    assert_eq!(task.await.unwrap().reason, Reason::Complete);
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_ends_a_talking_one_does_not() {
    let (mut near, mut far, _, task) = relayed(1024, b"");
    let mut byte = [0];
    for _ in 0..20 {
        advance(IDLE / 2).await;
        far.write_all(b".").await.unwrap();
        near.read_exact(&mut byte).await.unwrap();
    }
    assert!(!task.is_finished(), "control: ten idle times have passed, never in silence");
    let before = Instant::now();
    assert_eq!(task.await.unwrap().reason, Reason::Idle);
    let silence = before.elapsed();
    assert!(silence >= IDLE && silence <= IDLE.mul_f32(1.3), "{silence:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stuck_reader_is_idle_too() {
    let (_near, mut far, in_flight, task) = relayed(16, b"");
    far.write_all(&pattern(40)).await.unwrap();
    assert_eq!(task.await.unwrap().reason, Reason::Idle);
    assert_eq!(in_flight.bytes(), 0, "what was held is given back");
}

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (dialled, accepted) =
        tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (dialled.unwrap(), accepted.unwrap().0)
}

#[tokio::test]
async fn a_reset_ends_both_directions_and_names_the_side() {
    for (near_resets, reason) in [(true, Reason::NearAborted), (false, Reason::FarAborted)] {
        let ((near, mut near_inner), (far, mut far_inner)) = (tcp_pair().await, tcp_pair().await);
        let (resets, stays) = if near_resets { (near, far) } else { (far, near) };
        resets.set_zero_linger().unwrap();
        drop(resets);
        let outcome = relay(&mut near_inner, &mut far_inner, Vec::new(), IDLE, &InFlight::default()).await;
        assert_eq!(outcome.reason, reason);
        drop(stays);
    }
}
