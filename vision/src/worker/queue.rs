//! Whose turn it is. One place per camera, the newest job in it, cameras in the order in which they became ready.

use std::collections::{HashMap, VecDeque};

use domain::CameraKey;

use super::{MAX_CAMERAS, Submitted};

/// Names one run of one job, so that one that comes back late cannot end another.
pub(super) type Ticket = u64;

struct Place<J> {
    waiting: Option<J>,
    running: Option<Ticket>,
    /// Whether the running job was given up.
    hung: bool,
    skipped: u64,
}

/// The queue. A camera stands in `ready` exactly once while it has a waiting job and no running one, else never.
pub(super) struct Queue<J> {
    places: HashMap<CameraKey, Place<J>>,
    ready: VecDeque<CameraKey>,
    next_ticket: Ticket,
}

impl<J> Queue<J> {
    pub(super) fn new() -> Queue<J> {
        Queue {
            places: HashMap::new(),
            ready: VecDeque::new(),
            next_ticket: 0,
        }
    }

    /// Takes a job in, and gives back the one that is dropped for it: the older one, or itself when it is refused.
    pub(super) fn offer(&mut self, camera: &CameraKey, job: J) -> (Submitted, Option<J>) {
        if !self.places.contains_key(camera) && self.places.len() >= MAX_CAMERAS {
            return (Submitted::Refused, Some(job));
        }
        let place = self.places.entry(camera.clone()).or_insert(Place {
            waiting: None,
            running: None,
            hung: false,
            skipped: 0,
        });
        let older = place.waiting.replace(job);
        if older.is_some() {
            place.skipped += 1;
            return (Submitted::Replaced, older);
        }
        if place.running.is_none() {
            self.ready.push_back(camera.clone());
        }
        (Submitted::Queued, None)
    }

    /// The next job. Its camera has no other until [`Queue::end`].
    pub(super) fn take(&mut self) -> Option<(CameraKey, Ticket, J)> {
        let camera = self.ready.pop_front()?;
        let place = self.places.get_mut(&camera).expect("a ready camera has a place");
        let job = place.waiting.take().expect("a ready camera has a waiting job");
        self.next_ticket += 1;
        place.running = Some(self.next_ticket);
        Some((camera, self.next_ticket, job))
    }

    /// A job came back, in time or late.
    pub(super) fn end(&mut self, camera: &CameraKey, ticket: Ticket) {
        if let Some(place) = self.places.get_mut(camera)
            && place.running == Some(ticket)
        {
            place.running = None;
            place.hung = false;
            if place.waiting.is_some() {
                self.ready.push_back(camera.clone());
            }
        }
    }

    /// A job is given up. Its camera waits all the same.
    pub(super) fn give_up(&mut self, camera: &CameraKey, ticket: Ticket) {
        if let Some(place) = self.places.get_mut(camera)
            && place.running == Some(ticket)
        {
            place.hung = true;
        }
    }

    /// Lets a camera go on whose job was given up.
    pub(super) fn release(&mut self, camera: &CameraKey) -> bool {
        let hung = self.places.get(camera).filter(|place| place.hung);
        let Some(ticket) = hung.and_then(|place| place.running) else {
            return false;
        };
        self.end(camera, ticket);
        true
    }

    pub(super) fn forget(&mut self, camera: &CameraKey) -> Option<J> {
        self.ready.retain(|ready| ready != camera);
        self.places.remove(camera)?.waiting
    }

    /// Empties every place.
    pub(super) fn clear(&mut self) -> Vec<J> {
        self.ready.clear();
        let places = self.places.values_mut();
        places.filter_map(|place| place.waiting.take()).collect()
    }

    pub(super) fn skipped(&self, camera: &CameraKey) -> u64 {
        self.places.get(camera).map_or(0, |place| place.skipped)
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn waiting(&self) -> usize {
        self.places.values().filter(|p| p.waiting.is_some()).count()
    }
}

#[cfg(test)]
mod tests {
    use domain::{DeviceId, FacilityId};

    use super::*;

    fn camera(name: &str) -> CameraKey {
        CameraKey {
            facility: FacilityId::new("f1").unwrap(),
            camera: DeviceId::new(name).unwrap(),
        }
    }

    #[test]
    fn the_newest_job_takes_the_place_and_the_turn_of_the_older() {
        let (a, b) = (camera("a"), camera("b"));
        let mut queue = Queue::new();
        assert_eq!(queue.offer(&a, 1), (Submitted::Queued, None));
        assert_eq!(queue.offer(&b, 2), (Submitted::Queued, None));
        assert_eq!(queue.offer(&a, 3), (Submitted::Replaced, Some(1)));
        assert_eq!((queue.skipped(&a), queue.skipped(&b)), (1, 0));
        let order: Vec<i32> = std::iter::from_fn(|| queue.take())
            .map(|(_, _, job)| job)
            .collect();
        assert_eq!(order, [3, 2]);
    }

    #[test]
    fn a_camera_has_one_job_at_a_time() {
        let (a, b) = (camera("a"), camera("b"));
        let mut queue = Queue::new();
        queue.offer(&a, 1);
        let (_, ticket, _) = queue.take().unwrap();
        queue.offer(&a, 2);
        queue.offer(&b, 3);
        assert_eq!(queue.take().unwrap().2, 3);
        assert!(!queue.has_ready());
        assert_eq!(queue.waiting(), 1);
        queue.end(&a, ticket);
        assert_eq!(queue.take().unwrap().2, 2);
    }

    #[test]
    fn a_job_that_comes_back_late_ends_no_other() {
        let a = camera("a");
        let mut queue = Queue::new();
        queue.offer(&a, 1);
        let (_, hung, _) = queue.take().unwrap();
        queue.offer(&a, 2);
        assert!(!queue.release(&a), "it does not hang yet");
        queue.give_up(&a, hung);
        assert!(queue.take().is_none(), "its camera waits");
        assert!(queue.release(&a));
        let (_, second, job) = queue.take().unwrap();
        assert_eq!(job, 2);
        queue.offer(&a, 3);
        queue.end(&a, hung);
        assert!(queue.take().is_none(), "the second still runs");
        queue.end(&a, second);
        assert_eq!(queue.take().unwrap().2, 3);
    }

    #[test]
    fn a_forgotten_camera_leaves_nothing() {
        let a = camera("a");
        let mut queue = Queue::new();
        queue.offer(&a, 1);
        assert_eq!(queue.forget(&a), Some(1));
        assert!(queue.take().is_none());
        queue.offer(&a, 2);
        let (_, ticket, _) = queue.take().unwrap();
        assert_eq!(queue.forget(&a), None);
        queue.offer(&a, 3);
        assert_eq!(queue.take().unwrap().2, 3);
        queue.end(&a, ticket);
        assert_eq!(queue.clear(), Vec::<i32>::new());
    }

    #[test]
    fn places_are_bounded() {
        let mut queue = Queue::new();
        for n in 0..MAX_CAMERAS {
            queue.offer(&camera(&format!("c{n}")), n);
        }
        assert_eq!(queue.offer(&camera("more"), 7), (Submitted::Refused, Some(7)));
        assert_eq!(queue.offer(&camera("c0"), 8), (Submitted::Replaced, Some(0)));
        assert_eq!(queue.waiting(), MAX_CAMERAS);
        assert_eq!(queue.clear().len(), MAX_CAMERAS);
    }
}
