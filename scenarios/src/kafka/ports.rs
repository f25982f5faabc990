//! TCP ports that no other test takes.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::ops::Range;

use rand::Rng;

use crate::Error;

/// Below Linux's ephemeral ports (32768 and up): no outgoing connection can take the port of a broker
/// that is being restarted.
const CHOICE: Range<u16> = 20_000..32_000;

/// Ports to try before giving up; one in ten being taken would already be a crowded machine.
const ATTEMPTS: usize = 1_000;

/// A TCP port on 127.0.0.1, reserved against every other user of this type on the machine.
///
/// The reservation is a UDP socket on the same number, held as long as this value lives: exclusive between
/// processes, gone when the process ends however it does, and without any file.
#[derive(Debug)]
pub(super) struct Port {
    number: u16,
    _reservation: UdpSocket,
}

impl Port {
    /// Reserves a port on which nobody listens.
    pub(super) fn reserve() -> Result<Self, Error> {
        let mut random = rand::rng();
        for _ in 0..ATTEMPTS {
            let address = (Ipv4Addr::LOCALHOST, random.random_range(CHOICE));
            let Ok(reservation) = UdpSocket::bind(address) else {
                continue;
            };
            if TcpListener::bind(address).is_ok() {
                return Ok(Self {
                    number: address.1,
                    _reservation: reservation,
                });
            }
        }
        Err(Error::Io {
            what: format!(
                "find a free port between {} and {}",
                CHOICE.start, CHOICE.end
            ),
            source: std::io::ErrorKind::AddrInUse.into(),
        })
    }

    /// The port's number.
    pub(super) fn number(&self) -> u16 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_port_twice_while_held() {
        let held: Vec<Port> = (0..200).map(|_| Port::reserve().unwrap()).collect();
        let numbers: HashSet<u16> = held.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), held.len());
    }
}
