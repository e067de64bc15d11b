//! How many client connections there may be: in total, so that descriptors are left for upstreams, files and the admin address, and of one
//! address, so that nobody takes them all. Counts and decides; turning away is the connection's.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use weir_config::plan::Client;

/// Descriptors that no client can take whatever the file says: listeners, log, admin, a few upstreams.
const RESERVE: u64 = 128;

/// See the module.
#[derive(Debug)]
pub(crate) struct Crowd {
    open: Arc<AtomicU64>,
    by_address: Counts,
    descriptors: Option<u64>,
}

/// Connections by address.
type Counts = Arc<Mutex<HashMap<IpAddr, Count>>>;

/// The connections of one address: those that are served, and those that are over and linger.
#[derive(Debug, Default)]
struct Count {
    served: u32,
    lingering: u32,
}

/// Why somebody is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// There are too many altogether.
    Total,
    /// There are too many of that address.
    Address,
}

impl Full {
    /// The `reason` of metrics.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Total => "too_many_connections",
            Self::Address => "too_many_connections_of_address",
        }
    }
}

/// A connection's share of the total, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicU64>);

/// A connection's share of its address's, until it is dropped.
#[derive(Debug)]
pub(crate) struct PlaceOfAddress {
    counts: Counts,
    address: IpAddr,
    lingers: bool,
}

impl Crowd {
    /// `descriptors`: how many the process may have open, if that is bounded.
    pub(crate) fn new(descriptors: Option<u64>) -> Self {
        Self {
            open: Arc::default(),
            by_address: Arc::default(),
            descriptors,
        }
    }

    /// One more, if there is room.
    pub(crate) fn enter(&self, settings: &Client) -> Result<Place, Full> {
        let place = Place(Arc::clone(&self.open));
        // Counted first and looked at then: of several workers at the same time none can slip through.
        if self.open.fetch_add(1, Relaxed) >= self.most(settings) {
            return Err(Full::Total);
        }
        Ok(place)
    }

    /// One more of this address, if that is bounded and there is room.
    pub(crate) fn enter_from(
        &self,
        address: IpAddr,
        settings: &Client,
    ) -> Result<Option<PlaceOfAddress>, Full> {
        let Some(most) = settings.max_connections_per_address else {
            return Ok(None);
        };
        let address = network(address);
        let mut counts = self
            .by_address
            .lock()
            .expect("nothing panics while it holds the lock");
        let count = counts.entry(address).or_default();
        if count.served >= most.get() {
            return Err(Full::Address);
        }
        count.served += 1;
        Ok(Some(PlaceOfAddress {
            counts: Arc::clone(&self.by_address),
            address,
            lingers: false,
        }))
    }

    /// Three quarters of the descriptors, unless the file says less; if it says more, all but the reserve.
    fn most(&self, settings: &Client) -> u64 {
        let asked = settings.max_connections.map(|most| u64::from(most.get()));
        let free = self.descriptors.map(|all| all - RESERVE.min(all / 2));
        match (asked, free) {
            (Some(asked), Some(free)) => asked.min(free),
            (Some(asked), None) => asked,
            (None, Some(free)) => free / 4 * 3,
            (None, None) => u64::MAX,
        }
    }
}

/// A /64 is what one customer gets: counting single addresses of it would count nothing.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let bits = address.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
        v4 => v4,
    }
}

impl PlaceOfAddress {
    /// The connection is over and only lingers: the next of its address may come. As many may linger as may be served, or who asks and never
    /// reads would have no bound at all; whether this one may.
    pub(crate) fn linger(&mut self, settings: &Client) -> bool {
        let mut counts = self
            .counts
            .lock()
            .expect("nothing panics while it holds the lock");
        let most = settings.max_connections_per_address;
        let count = counts.entry(self.address).or_default();
        let may = !self.lingers && most.is_none_or(|most| count.lingering < most.get());
        if may {
            count.served -= 1;
            count.lingering += 1;
            self.lingers = true;
        }
        may
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Drop for PlaceOfAddress {
    fn drop(&mut self) {
        let mut counts = self
            .counts
            .lock()
            .expect("nothing panics while it holds the lock");
        if let Some(count) = counts.get_mut(&self.address) {
            *(if self.lingers {
                &mut count.lingering
            } else {
                &mut count.served
            }) -= 1;
            if (count.served, count.lingering) == (0, 0) {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU32, time::Duration};

    use super::*;

    fn settings(total: Option<u32>, of_address: Option<u32>) -> Client {
        Client {
            max_connections: total.and_then(NonZeroU32::new),
            max_connections_per_address: of_address.and_then(NonZeroU32::new),
            ..CLIENT
        }
    }

    const SECOND: Duration = Duration::from_secs(1);
    const CLIENT: Client = Client {
        head: SECOND,
        keep_alive: SECOND,
        body_idle: SECOND,
        handshake: SECOND,
        write_stall: SECOND,
        max_connections: None,
        max_connections_per_address: None,
    };

    #[test]
    fn a_place_is_free_again_when_it_is_left() {
        let crowd = Crowd::new(None);
        let two = settings(Some(2), None);
        let (first, _second) = (crowd.enter(&two).unwrap(), crowd.enter(&two).unwrap());
        assert_eq!(crowd.enter(&two).unwrap_err(), Full::Total);
        assert_eq!(
            crowd.enter(&two).unwrap_err(),
            Full::Total,
            "who was turned away holds nothing"
        );
        drop(first);
        assert!(crowd.enter(&two).is_ok());
    }

    #[test]
    fn a_reserve_of_descriptors_stays() {
        for (descriptors, asked, most) in [
            (None, None, u64::MAX),
            (None, Some(5), 5),
            (Some(1128), None, 750),
            (Some(1128), Some(5), 5),
            (Some(1128), Some(5000), 1000),
            (Some(64), None, 24),
        ] {
            assert_eq!(Crowd::new(descriptors).most(&settings(asked, None)), most);
        }
    }

    #[test]
    fn an_address_is_counted_by_itself_and_a_network_as_one() {
        let crowd = Crowd::new(None);
        let one = settings(None, Some(1));
        let enter = |address: &str| crowd.enter_from(address.parse().unwrap(), &one);
        let held = enter("192.0.2.1").unwrap();
        assert_eq!(enter("::ffff:192.0.2.1").unwrap_err(), Full::Address);
        let _other = enter("192.0.2.2").unwrap();
        let _v6 = enter("2001:db8::1").unwrap();
        assert_eq!(enter("2001:db8::2").unwrap_err(), Full::Address);
        let _next = enter("2001:db8:0:1::1").unwrap();
        drop(held);
        assert!(enter("192.0.2.1").is_ok());
        assert_eq!(crowd.by_address.lock().unwrap().len(), 3);
        assert!(
            crowd
                .enter_from([192, 0, 2, 3].into(), &settings(None, None))
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn whoever_lingers_makes_room_for_as_many_again() {
        let crowd = Crowd::new(None);
        let two = settings(None, Some(2));
        let enter = || crowd.enter_from([192, 0, 2, 1].into(), &two);
        let mut over: Vec<_> = (0..2).map(|_| enter().unwrap().unwrap()).collect();
        assert_eq!(enter().unwrap_err(), Full::Address);
        assert!(over.iter_mut().all(|place| place.linger(&two)));
        let mut next: Vec<_> = (0..2).map(|_| enter().unwrap().unwrap()).collect();
        assert_eq!(enter().unwrap_err(), Full::Address);
        assert!(!next[0].linger(&two), "two linger already");
        drop(over);
        assert!(next[0].linger(&two));
        assert!(enter().is_ok());
        drop(next);
        assert!(crowd.by_address.lock().unwrap().is_empty());
    }
}
