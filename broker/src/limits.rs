//! What one client, one identity and all of them together may use up.

use std::time::Duration;

/// Bounds of the broker. Every one is enforced and what it turns away is counted.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The largest MQTT packet that is read, in bytes with its header. 1,024 to 268,435,455; default 256 KiB.
    /// A larger one closes the connection.
    pub packet_bytes: u32,
    /// PUBLISH packets per second and connection, averaged over one second. 0 means without limit; default 2,000.
    /// A faster client is not refused: its socket is not read until its second has passed (back-pressure).
    pub publishes_per_second: u32,
    /// QoS 1 and 2 messages that may wait for an acknowledgement, per connection and direction. 1 to 65,535;
    /// default 1,024 (a client's own receive maximum lowers it). Beyond it the socket is not read.
    pub inflight: u16,
    /// Connections in all. 1 or more; default 10,000. Further sockets are closed before their first packet.
    pub connections: usize,
    /// Connections of one identity. 1 or more; default 4. Further ones are refused.
    pub connections_per_identity: usize,
    /// Bytes that wait for one subscriber, and as many that it was sent and has not acknowledged. 64 KiB or more;
    /// default 1 MiB. When it is full the oldest QoS 0 messages make room; when none is left at the front, the new
    /// message is dropped. Both are counted.
    pub queued_bytes_per_subscriber: usize,
    /// How long a connection may stay silent before its whole CONNECT has come. Default 10 s.
    pub first_packet_timeout: Duration,
    /// Subscriptions of one session. 1 or more; default 64. Further ones are refused in the SUBACK.
    pub subscriptions_per_session: usize,
    /// The longest time that a session outlives its connection. Default 24 h. Also the time for MQTT 3.1.1
    /// clients, which cannot ask for one.
    pub session_expiry: Duration,
    /// The longest keep-alive granted to an MQTT 5 client, in seconds. 1 to 65,535; default 60.
    pub keep_alive_seconds: u16,
    /// Retained messages in all. Default 100,000. A new topic beyond it is not retained, and counted.
    pub retained_messages: usize,
    /// Bytes of all retained messages. Default 64 MiB; beyond it as above.
    pub retained_bytes: usize,
    /// Sessions that wait for their client to come back. Default 20,000. Beyond it the one that expires first ends.
    pub parked_sessions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            packet_bytes: 256 << 10,
            publishes_per_second: 2_000,
            inflight: 1_024,
            connections: 10_000,
            connections_per_identity: 4,
            queued_bytes_per_subscriber: 1 << 20,
            first_packet_timeout: Duration::from_secs(10),
            subscriptions_per_session: 64,
            session_expiry: Duration::from_secs(24 * 3600),
            keep_alive_seconds: 60,
            retained_messages: 100_000,
            retained_bytes: 64 << 20,
            parked_sessions: 20_000,
        }
    }
}

/// A token bucket that holds one second's worth. Pure: the caller brings the time.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_second: u32,
    /// Tokens × 1,000,000,000, so that nothing is lost to rounding. May go negative within one read buffer.
    nano_tokens: i64,
    last: std::time::Instant,
}

impl Bucket {
    pub(crate) fn new(per_second: u32, now: std::time::Instant) -> Bucket {
        Bucket {
            per_second,
            nano_tokens: i64::from(per_second) * 1_000_000_000,
            last: now,
        }
    }

    /// Takes one token; the bucket may be overdrawn, [`Bucket::wait`] then says for how long to stop.
    pub(crate) fn take(&mut self) {
        if self.per_second > 0 {
            self.nano_tokens -= 1_000_000_000;
        }
    }

    /// Refills, and tells how long until a token is there; `None` when one is.
    pub(crate) fn wait(&mut self, now: std::time::Instant) -> Option<Duration> {
        if self.per_second == 0 {
            return None;
        }
        let rate = i64::from(self.per_second);
        let passed = i64::try_from(now.duration_since(self.last).as_nanos().min(2_000_000_000)).unwrap_or(0);
        self.last = now;
        self.nano_tokens = (self.nano_tokens + passed * rate).min(rate * 1_000_000_000);
        let missing = 1_000_000_000 - self.nano_tokens;
        (missing > 0).then(|| Duration::from_nanos(u64::try_from(missing / rate + 1).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_lets_the_rate_through_and_no_more() {
        let start = std::time::Instant::now();
        let mut bucket = Bucket::new(10, start);
        for _ in 0..10 {
            assert_eq!(bucket.wait(start), None);
            bucket.take();
        }
        let wait = bucket.wait(start).unwrap();
        assert!(
            wait > Duration::from_millis(99) && wait < Duration::from_millis(101),
            "{wait:?}"
        );
        assert_eq!(bucket.wait(start + Duration::from_millis(101)), None);
        let mut free = Bucket::new(0, start);
        for _ in 0..100_000 {
            free.take();
        }
        assert_eq!(free.wait(start), None);
    }
}
