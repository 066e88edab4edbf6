//! Half-close, back-pressure, idleness, aborts: over pipes whose size the test chooses, and over TCP.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex},
    net::{TcpListener, TcpStream, UnixStream},
    task::JoinHandle,
    time::advance,
};

use super::*;
use crate::{socket::Stream, splice::CONDUIT_BYTES};

const IDLE: Duration = Duration::from_mins(1);

/// Memory, which is copied.
impl Endpoint for DuplexStream {
    fn splices(&self) -> bool {
        false
    }

    fn poll_fill(&self, _: &mut Context<'_>, _: &mut Conduit) -> Poll<io::Result<bool>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    fn poll_drain(&self, _: &mut Context<'_>, _: &mut Conduit) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

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
        let ((near, near_inner), (far, far_inner)) = (tcp_pair().await, tcp_pair().await);
        let (resets, stays) = if near_resets { (near, far) } else { (far, near) };
        resets.set_zero_linger().unwrap();
        drop(resets);
        let (mut near_inner, mut far_inner) = (Stream::Tcp(near_inner), Stream::Tcp(far_inner));
        let outcome = relay(&mut near_inner, &mut far_inner, Vec::new(), IDLE, &InFlight::default()).await;
        assert_eq!(outcome.reason, reason);
        drop(stays);
    }
}

/// Bodies large enough to be spliced, over both kinds of socket, with pauses that end a splice.
#[tokio::test]
async fn every_byte_arrives_when_spliced() {
    let (near, near_inner) = tcp_pair().await;
    let (far, far_inner) = UnixStream::pair().unwrap();
    let in_flight = InFlight::default();
    let shared = in_flight.clone();
    let task = tokio::spawn(async move {
        let (mut near, mut far) = (Stream::Tcp(near_inner), Stream::Unix(far_inner));
        relay(&mut near, &mut far, Vec::new(), IDLE, &shared).await
    });
    let sent = pattern(8 << 20);
    let (copy, total) = (sent.clone(), u64::try_from(sent.len()).unwrap());
    let echo = tokio::spawn(async move {
        let (reader, mut writer) = far.into_split();
        let mut reader = BufReader::with_capacity(1 << 20, reader);
        tokio::io::copy_buf(&mut reader, &mut writer).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let (mut reader, mut writer) = near.into_split();
    let writing = tokio::spawn(async move {
        for piece in copy.chunks(3 << 20) {
            writer.write_all(piece).await.unwrap();
            sleep(Duration::from_millis(20)).await;
        }
        writer.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    reader.read_to_end(&mut received).await.unwrap();
    writing.await.unwrap();
    echo.await.unwrap();
    assert!(received == sent);
    assert_eq!(task.await.unwrap(), Outcome { reason: Reason::Complete, up: total, down: total });
    assert_eq!(in_flight.bytes(), 0);
    assert!(Conduit::spares() > 0, "control: it was spliced");
}

/// The pipe is as bounded as the buffer, and what is stuck in it is given up with the connection.
#[tokio::test]
async fn a_slow_reader_of_a_spliced_body_costs_one_pipe() {
    let (near, near_inner) = tcp_pair().await;
    let (mut far, far_inner) = tcp_pair().await;
    let in_flight = InFlight::default();
    let shared = in_flight.clone();
    let task = tokio::spawn(async move {
        let (mut near, mut far) = (Stream::Tcp(near_inner), Stream::Tcp(far_inner));
        relay(&mut near, &mut far, Vec::new(), IDLE, &shared).await
    });
    let piece = pattern(1 << 20);
    while let Ok(written) = tokio::time::timeout(Duration::from_millis(200), far.write(&piece)).await {
        written.unwrap();
    }
    let held = in_flight.bytes();
    assert!((1..=CONDUIT_BYTES).contains(&held), "{held} held");
    near.set_zero_linger().unwrap();
    drop(near);
    assert_eq!(task.await.unwrap().reason, Reason::NearAborted);
    assert_eq!(in_flight.bytes(), 0);
}
