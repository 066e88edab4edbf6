//! Every packet on every network interface of this machine, as root sees them.

use std::io::{self, Read};
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use memchr::memmem;
use socket2::{Domain, Protocol, Socket, Type};

use crate::canary::{Canaries, Hits};

/// A capture under way. It ends when dropped.
pub struct Packets {
    found: Arc<Mutex<Found>>,
    mark: Vec<u8>,
    over: Arc<AtomicBool>,
    reading: Option<JoinHandle<()>>,
}

/// What was captured so far.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Packets; on the loopback interface each comes twice.
    pub packets: usize,
    /// Bytes of them.
    pub bytes: usize,
    /// Canaries in them.
    pub hits: Hits,
    /// How often its own mark came by: what was sent before a mark has been searched when the mark has.
    marks: usize,
}

impl Packets {
    /// Begins to search all packets for these canaries, each packet by itself.
    ///
    /// # Errors
    /// This process may not (`CAP_NET_RAW`).
    pub fn searched_for(canaries: &Arc<Canaries>) -> io::Result<Self> {
        // Of no interface in particular, and so of all.
        let socket =
            Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(i32::from(EVERY_PROTOCOL.to_be()))))?;
        socket.set_recv_buffer_size(BUFFER)?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let (found, over) = (Arc::<Mutex<Found>>::default(), Arc::new(AtomicBool::new(false)));
        let mark = Canaries::new().plant("packets", "mark").into_bytes();
        let (canaries, into, ends) = (Arc::clone(canaries), Arc::clone(&found), Arc::clone(&over));
        let wanted = mark.clone();
        let reading = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                search(&socket, &canaries, &wanted, &into);
            }
        });
        Ok(Self { found, mark, over, reading: Some(reading) })
    }

    /// What was found in all packets that were sent before this was called.
    pub fn found(&self) -> Found {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has free ports");
        let own = socket.local_addr().expect("a bound socket has an address");
        let before = self.found.lock().unwrap().marks;
        let end = Instant::now() + PATIENCE;
        loop {
            socket.send_to(&self.mark, own).expect("loopback takes packets");
            std::thread::sleep(Duration::from_millis(20));
            let found = self.found.lock().unwrap().clone();
            if found.marks > before {
                return found;
            }
            assert!(Instant::now() < end, "packets are captured too slowly: {found:?}");
        }
    }
}

impl Drop for Packets {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(reading) = self.reading.take() {
            let _ended = reading.join();
        }
    }
}

/// Takes packets until none comes for a while.
fn search(mut socket: &Socket, canaries: &Canaries, mark: &[u8], into: &Mutex<Found>) {
    let mut packet = vec![0; LARGEST];
    while let Ok(count) = socket.read(&mut packet) {
        let hits = canaries.search(&packet[..count]);
        let marks = usize::from(memmem::find(&packet[..count], mark).is_some());
        let mut found = into.lock().unwrap();
        found.marks += marks;
        found.packets += 1;
        found.bytes += count;
        for (place, times) in hits {
            *found.hits.entry(place).or_default() += times;
        }
    }
}

/// `ETH_P_ALL` of `linux/if_ether.h`.
const EVERY_PROTOCOL: u16 = 3;
/// How much may wait to be searched, in bytes, as far as the kernel allows.
const BUFFER: usize = 32 << 20;
/// How long packets may take to be searched, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest packet, with its link's head.
const LARGEST: usize = 70_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canary::total;

    #[test]
    fn what_crosses_loopback_is_found() {
        let canaries = Arc::new(Canaries::new());
        let Ok(packets) = Packets::searched_for(&canaries) else {
            eprintln!("skipped: only root captures packets");
            return;
        };
        let text = canaries.plant("own", "packet");
        let (near, far) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        near.send_to(b"nothing", far.local_addr().unwrap()).unwrap();
        assert_eq!(total(&packets.found().hits), 0);
        // The kernel drops what finds no room, and others use this interface too.
        let mut found = (0..20).map(|_| {
            near.send_to(text.as_bytes(), far.local_addr().unwrap()).unwrap();
            packets.found()
        });
        let found = found.find(|found| total(&found.hits) > 0).expect("it was never found");
        assert!(total(&found.hits) > 0 && found.packets > 1 && found.bytes > text.len(), "{found:?}");
    }
}
