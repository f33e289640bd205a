//! Kills at random: lives of an agent, until there are enough.
//!
//! `tests/campaign kills` runs as many as it is told to. A run prints its seed; the same seed makes the
//! same choices, though not the same timing. With `TAILWATER_SEED` and `TAILWATER_LIFE` one life is
//! lived again.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tailwater_testkit::random::Random;

use crate::life::Plan;
use crate::rig::Outcome;

/// Kills of one life.
const KILLS_PER_LIFE: u64 = 25;

/// What a campaign has found.
#[derive(Default)]
struct Figures {
    kills: AtomicU64,
    lines: AtomicU64,
    copies: AtomicU64,
    missing: AtomicU64,
    restamped: AtomicU64,
    /// By how many lines the books say less, or more, than was written: each kill before a checkpoint.
    under_booked: Mutex<f64>,
    over_booked: Mutex<f64>,
}

impl Figures {
    fn add(&self, kills: u64, outcome: &Outcome) {
        let verdict = &outcome.verdict;
        let add = |counter: &AtomicU64, by: u64| counter.fetch_add(by, Ordering::Relaxed);
        add(&self.kills, kills);
        add(&self.lines, verdict.expected());
        add(
            &self.copies,
            verdict.duplicates() + verdict.excused_duplicates(),
        );
        add(&self.missing, verdict.missing());
        add(&self.restamped, verdict.restamped.count);
        let distinct: f64 = u32::try_from(verdict.expected()).map_or(f64::INFINITY, f64::from);
        *self.under_booked.lock().unwrap() += (distinct - outcome.books.acked).max(0.0);
        *self.over_booked.lock().unwrap() += (outcome.books.acked - distinct).max(0.0);
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        write!(
            formatter,
            "{} kills, {} lines, {} lost, {} repeats of the same bytes, {} lines twice after removing \
             equal (stream, timestamp, line); the books say {} too few and {} too many",
            of(&self.kills),
            of(&self.lines),
            of(&self.missing),
            of(&self.copies),
            of(&self.restamped),
            self.under_booked.lock().unwrap(),
            self.over_booked.lock().unwrap(),
        )
    }
}

/// How many kills, and which.
struct Campaign {
    seed: u64,
    kills: u64,
    jobs: u64,
    max_run: Duration,
    /// The only life that is lived.
    only: Option<u64>,
}

impl Campaign {
    /// Reads what the environment says; a slice of 200 kills where it says nothing.
    fn new() -> Self {
        let number = |name: &str| -> Option<u64> { std::env::var(name).ok()?.parse().ok() };
        let any_seed = || RandomState::new().hash_one(0) >> 16;
        Self {
            seed: number("TAILWATER_SEED").unwrap_or_else(any_seed),
            kills: number("TAILWATER_KILLS").unwrap_or(200),
            jobs: number("TAILWATER_JOBS").unwrap_or(2),
            max_run: Duration::from_millis(number("TAILWATER_MAX_RUN_MS").unwrap_or(400)),
            only: number("TAILWATER_LIFE"),
        }
    }

    /// Returns the kills of a life; 0 where there is none with this number.
    fn kills_of(&self, life: u64) -> u64 {
        let before = life.saturating_mul(KILLS_PER_LIFE);
        self.kills.saturating_sub(before).min(KILLS_PER_LIFE)
    }

    fn live(&self, life: u64, figures: &Figures) {
        let (seed, kills) = (self.seed, self.kills_of(life));
        let plan = Plan::new(Random::new(seed).part(life), life);
        say(&format!("seed {seed}, life {life}: {plan:?}"));
        let outcome = plan.live(kills, self.max_run);
        figures.add(kills, &outcome);
        say(&format!("seed {seed}: {figures}"));
        outcome.assert_nothing_is_lost();
    }
}

#[expect(clippy::print_stderr, reason = "a campaign is watched")]
fn say(what: &str) {
    eprintln!("kills: {what}");
}

#[test]
fn random_kills_with_rotation_and_sink_faults_lose_and_repeat_nothing() {
    let campaign = Campaign::new();
    let (figures, next, failure) = (Figures::default(), AtomicU64::new(0), Mutex::new(None));
    let work = || {
        loop {
            let life = next.fetch_add(1, Ordering::Relaxed);
            if campaign.kills_of(life) == 0 || failure.lock().unwrap().is_some() {
                return;
            }
            if campaign.only.is_some_and(|only| only != life) {
                continue;
            }
            let lived = catch_unwind(AssertUnwindSafe(|| campaign.live(life, &figures)));
            if let Err(panic) = lived {
                say(&format!("life {life} of seed {} has failed", campaign.seed));
                *failure.lock().unwrap() = Some(panic);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..campaign.jobs {
            scope.spawn(work);
        }
    });
    if let Some(panic) = failure.into_inner().unwrap() {
        resume_unwind(panic);
    }
}
