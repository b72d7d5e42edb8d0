//! The limiter against servers that exist only in simulated time.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::time::sleep;

use super::*;

const LATENCY: Duration = Duration::from_millis(200);
/// How long a refusal is under way.
const REFUSAL: Duration = Duration::from_millis(1);
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A server that admits a number of requests that may change with time.
struct Server {
    started: Instant,
    admits: Box<dyn Fn(Duration) -> usize>,
    inside: Cell<usize>,
    peak: Cell<usize>,
    sent: Cell<usize>,
    refused: Cell<usize>,
}

impl Server {
    fn new(admits: impl Fn(Duration) -> usize + 'static) -> Rc<Self> {
        Rc::new(Self {
            started: Instant::now(),
            admits: Box::new(admits),
            inside: Cell::new(0),
            peak: Cell::new(0),
            sent: Cell::new(0),
            refused: Cell::new(0),
        })
    }

    async fn answer(&self) -> Outcome {
        self.sent.set(self.sent.get() + 1);
        if self.inside.get() >= (self.admits)(self.started.elapsed()) {
            self.refused.set(self.refused.get() + 1);
            sleep(REFUSAL).await;
            return Outcome::Refused { wait: RETRY_AFTER };
        }
        self.inside.set(self.inside.get() + 1);
        self.peak.set(self.peak.get().max(self.inside.get()));
        sleep(LATENCY).await;
        self.inside.set(self.inside.get() - 1);
        Outcome::Answered
    }
}

async fn until_answered(limiter: &Limiter, server: &Server) {
    let mut turn = Turn::New;
    loop {
        let permit = limiter.admit(turn).await;
        let outcome = server.answer().await;
        permit.finish(outcome);
        match outcome {
            Outcome::Refused { wait } => sleep(wait).await,
            _ => return,
        }
        turn = Turn::Again;
    }
}

/// Sends so many requests, all waiting from the start, and returns how long they took.
async fn run(limiter: &Limiter, server: &Server, requests: usize) -> Duration {
    let start = Instant::now();
    let all: FuturesUnordered<_> = (0..requests)
        .map(|_| until_answered(limiter, server))
        .collect();
    all.collect::<Vec<()>>().await;
    assert_eq!(limiter.load().in_flight, 0);
    start.elapsed()
}

fn adaptive() -> Limiter {
    Limiter::new(Concurrency::default())
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_64_is_found_and_used() {
    let (limiter, server) = (adaptive(), Server::new(|_| 64));
    let took = run(&limiter, &server, 3725).await;
    let ideal = LATENCY.mul_f64(3725.0 / 64.0);
    let ratio = took.as_secs_f64() / ideal.as_secs_f64();
    let share = server.refused.get() as f64 / server.sent.get() as f64;
    assert!(ratio <= 1.10, "{ratio}");
    assert!(share <= 0.03, "{share}");
    assert_eq!(server.peak.get(), 64);
}

#[tokio::test(start_paused = true)]
async fn other_limits_are_found_too() {
    for (admits, requests, most_ratio, most_refused) in [
        (1, 200, 1.2, 16),
        (4, 400, 1.15, 16),
        (17, 2000, 1.1, 40),
        (500, 20_000, 1.25, 560),
    ] {
        let (limiter, server) = (adaptive(), Server::new(move |_| admits));
        let took = run(&limiter, &server, requests).await;
        let ratio = took.div_duration_f64(LATENCY) / (requests as f64 / admits as f64);
        let refused = server.refused.get();
        assert!(ratio <= most_ratio, "{admits}: {ratio}");
        assert!(refused <= most_refused, "{admits}: {refused} refused");
        assert_eq!(server.peak.get(), admits);
    }
}

#[tokio::test(start_paused = true)]
async fn a_settled_client_is_refused_less_and_less() {
    let (limiter, server) = (adaptive(), Server::new(|_| 16));
    run(&limiter, &server, 2000).await;
    let before = server.refused.get();
    let took = run(&limiter, &server, 16 * 5 * 300).await;
    let refused = server.refused.get() - before;
    assert!(took >= Duration::from_secs(300));
    assert!(refused <= 14, "{refused} in {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_grows_is_followed() {
    let grown = |at: Duration| {
        if at < Duration::from_secs(10) {
            16
        } else {
            128
        }
    };
    let (limiter, server) = (adaptive(), Server::new(grown));
    run(&limiter, &server, 16 * 5 * 10 + 128 * 5 * 60).await;
    assert!(server.peak.get() >= 120, "{}", server.peak.get());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_shrinks_is_followed() {
    let shrunk = |at: Duration| {
        if at < Duration::from_secs(10) {
            128
        } else {
            16
        }
    };
    let (limiter, server) = (adaptive(), Server::new(shrunk));
    run(&limiter, &server, 128 * 5 * 10 + 16 * 5 * 20).await;
    assert!(
        (14..=24).contains(&limiter.load().limit),
        "{:?}",
        limiter.load()
    );
    // What was too much at first, what was too much after, and probes.
    assert!(
        server.refused.get() <= 128 + 112 + 20,
        "{}",
        server.refused.get()
    );
}

#[tokio::test(start_paused = true)]
async fn all_wait_while_the_server_is_closed() {
    let window = |at: Duration| {
        let closed = (3.0..8.0).contains(&at.as_secs_f64());
        if closed { 0 } else { 64 }
    };
    let (limiter, server) = (adaptive(), Server::new(window));
    let requests = run(&limiter, &server, 2000);
    let watch = async {
        sleep(Duration::from_millis(3300)).await;
        let at_first = server.refused.get();
        assert!(limiter.load().paused);
        sleep(Duration::from_millis(4500)).await;
        (at_first, server.refused.get())
    };
    let (took, (at_first, at_last)) = tokio::join!(requests, watch);
    // Once all that was in the air, then one a second.
    assert!(at_last - at_first <= 5, "{at_first} {at_last}");
    assert!(
        took <= LATENCY.mul_f64(2000.0 / 64.0) + Duration::from_secs(9),
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn others_go_on_while_a_refused_request_waits() {
    let limiter = adaptive();
    let (refused, answered) = (
        limiter.admit(Turn::New).await,
        limiter.admit(Turn::New).await,
    );
    refused.finish(Outcome::Refused { wait: RETRY_AFTER });
    assert!(!limiter.load().paused);
    let before = Instant::now();
    answered.finish(Outcome::Answered);
    limiter.admit(Turn::New).await.finish(Outcome::Answered);
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_hangs_does_not_hide_that_the_server_is_closed() {
    let limiter = Limiter::new(Concurrency::Fixed(16));
    let mut permits = Vec::new();
    for _ in 0..16 {
        permits.push(limiter.admit(Turn::New).await);
    }
    let _hangs = permits.pop();
    for permit in permits {
        permit.finish(Outcome::Refused { wait: RETRY_AFTER });
    }
    assert!(limiter.load().paused);
    let before = Instant::now();
    drop(limiter.admit(Turn::Again).await);
    assert_eq!(before.elapsed(), RETRY_AFTER);
}

#[tokio::test(start_paused = true)]
async fn a_fixed_limit_stays() {
    let (limiter, server) = (Limiter::new(Concurrency::Fixed(20)), Server::new(|_| 64));
    run(&limiter, &server, 1000).await;
    assert_eq!((limiter.load().limit, server.peak.get()), (20, 20));

    let (limiter, server) = (Limiter::new(Concurrency::Fixed(20)), Server::new(|_| 4));
    run(&limiter, &server, 100).await;
    assert_eq!((limiter.load().limit, server.peak.get()), (20, 4));
}

#[tokio::test(start_paused = true)]
async fn the_cap_is_kept() {
    for max in [0, 1, 3, 40] {
        let (limiter, server) = (
            Limiter::new(Concurrency::Adaptive { max }),
            Server::new(|_| 64),
        );
        run(&limiter, &server, 400).await;
        assert_eq!((server.peak.get(), server.refused.get()), (max.max(1), 0));
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_does_not_grow() {
    let (limiter, server) = (adaptive(), Server::new(|_| 64));
    for _ in 0..100 {
        run(&limiter, &server, 3).await;
    }
    assert_eq!(limiter.load().limit, START);
}

#[tokio::test(start_paused = true)]
async fn a_wave_of_timeouts_halves_the_limit_once_and_one_timeout_never() {
    let limiter = adaptive();
    let mut permits = Vec::new();
    for _ in 0..START {
        permits.push(limiter.admit(Turn::New).await);
    }
    permits.pop().unwrap().finish(Outcome::TimedOut);
    permits.pop().unwrap().finish(Outcome::Answered);
    permits.pop().unwrap().finish(Outcome::TimedOut);
    assert_eq!(limiter.load().limit, START);
    for permit in permits {
        permit.finish(Outcome::TimedOut);
    }
    assert_eq!(limiter.load().limit, START / 2);
}

#[tokio::test(start_paused = true)]
async fn turns_are_kept_and_those_who_ask_again_go_first() {
    let limiter = Limiter::new(Concurrency::Fixed(1));
    let held = limiter.admit(Turn::New).await;
    let order = RefCell::new(Vec::new());
    let wait = |name, turn| {
        let (limiter, order) = (&limiter, &order);
        async move {
            let _permit = limiter.admit(turn).await;
            order.borrow_mut().push(name);
            sleep(LATENCY).await;
        }
    };
    tokio::join!(
        wait("new 1", Turn::New),
        wait("new 2", Turn::New),
        wait("again 1", Turn::Again),
        wait("new 3", Turn::New),
        wait("again 2", Turn::Again),
        async { drop(held) },
    );
    assert_eq!(
        *order.borrow(),
        ["again 1", "again 2", "new 1", "new 2", "new 3"]
    );
}

#[tokio::test(start_paused = true)]
async fn those_who_leave_take_no_place_with_them() {
    let limiter = Limiter::new(Concurrency::Fixed(1));
    let held = limiter.admit(Turn::New).await;
    {
        // Left while waiting.
        let mut waiting = Box::pin(limiter.admit(Turn::New));
        assert!(futures::poll!(&mut waiting).is_pending());
        assert_eq!(limiter.load().waiting, 1);
    }
    {
        // Left after the place was handed over and before it was taken.
        let mut waiting = Box::pin(limiter.admit(Turn::New));
        assert!(futures::poll!(&mut waiting).is_pending());
        drop(held);
        assert_eq!(limiter.load().in_flight, 1);
    }
    assert_eq!(limiter.load().in_flight, 0);
    limiter.admit(Turn::New).await.finish(Outcome::Answered);
    let load = limiter.load();
    assert_eq!((load.in_flight, load.waiting), (0, 0));
}
