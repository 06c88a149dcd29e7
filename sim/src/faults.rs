//! What goes wrong in a world, and how often: drawn per seed, about half of it switched off, so that
//! faults meet in ever other company.

use crate::draw::Draw;

/// Rates of faults: probabilities a message, a step or a command, and mean times in milliseconds.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    pub request_lost: f64,
    pub answer_lost: f64,
    pub doubled: f64,
    pub delayed: f64,
    pub longest_delay: i64,
    /// At every boundary between two effects of an isolate.
    pub crash: f64,
    pub partition: f64,
    pub object_restart: f64,
    pub write_refused: f64,
    pub alarm_late: f64,
    pub alarm_doubled: f64,
    pub alarm_missing: f64,
    pub queue_refuses: f64,
    pub queue_doubled: f64,
    pub queue_shuffled: f64,
    pub consumer_crash: f64,
    pub skew: i64,
    pub drift_ppm: i64,
    pub clock_step: f64,
    pub object_ahead: f64,
    pub kv_fails: f64,
    pub kv_late: i64,
    pub flush_killed: f64,
    /// Of the provider's answers.
    pub provider_fails: f64,
    pub usage_ill: f64,
    pub overbills: f64,
    pub client_leaves: f64,
    /// How often the operator changes something: mean milliseconds, 0 for never.
    pub admin_every: i64,
    /// How often nobody comes for long.
    pub long_idle: f64,
}

impl Faults {
    /// Those of a seed.
    pub fn draw(draw: &mut Draw) -> Self {
        if draw.chance(0.05) {
            return Self::default();
        }
        let mut on = |low: f64, high: f64| {
            if draw.chance(0.5) { low + (high - low) * (draw.range(0, 1_000) as f64) / 1_000.0 } else { 0.0 }
        };
        let mut faults = Self {
            request_lost: on(0.005, 0.3),
            answer_lost: on(0.005, 0.3),
            doubled: on(0.01, 0.1),
            delayed: on(0.01, 0.3),
            crash: on(0.000_02, 0.002),
            partition: on(0.000_1, 0.001),
            object_restart: on(0.000_1, 0.002),
            write_refused: on(0.001, 0.05),
            alarm_late: on(0.05, 0.5),
            alarm_doubled: on(0.05, 0.3),
            alarm_missing: on(0.01, 0.2),
            queue_refuses: on(0.01, 0.3),
            queue_doubled: on(0.05, 0.5),
            queue_shuffled: on(0.05, 0.5),
            consumer_crash: on(0.01, 0.2),
            clock_step: on(0.000_1, 0.001),
            object_ahead: on(0.000_1, 0.001),
            kv_fails: on(0.005, 0.2),
            flush_killed: on(0.001, 0.02),
            provider_fails: on(0.02, 0.4),
            usage_ill: on(0.02, 0.4),
            overbills: on(0.02, 0.3),
            client_leaves: on(0.02, 0.3),
            long_idle: on(0.000_2, 0.003),
            ..Self::default()
        };
        if draw.chance(0.5) {
            faults.skew = 10_000;
        }
        if draw.chance(0.5) {
            faults.drift_ppm = 200;
        }
        faults.longest_delay = draw.wide(50, 120_000);
        faults.kv_late = draw.wide(10, 300_000);
        faults.admin_every = if draw.chance(0.7) { draw.wide(2_000, 120_000) } else { 0 };
        if draw.chance(0.15) {
            // All goes well between isolates and their account; providers and the operator do as they do.
            let Self { provider_fails, usage_ill, overbills, client_leaves, admin_every, .. } = faults;
            faults = Self {
                provider_fails,
                usage_ill,
                overbills,
                client_leaves,
                admin_every,
                kv_late: 1_000,
                ..Self::default()
            };
        }
        if draw.chance(0.1) {
            // Answers overtake each other while much changes: what is old must not stand for what is new.
            (faults.delayed, faults.longest_delay) = (0.5, 800);
            faults.admin_every = draw.wide(300, 3_000);
        }
        faults
    }

    /// Nothing goes wrong between isolates and their account, so nothing excuses a living isolate
    /// that is taken for dead.
    pub fn nothing_between(&self) -> bool {
        self.request_lost
            + self.answer_lost
            + self.delayed
            + self.partition
            + self.object_restart
            + self.write_refused
            + self.object_ahead
            + self.flush_killed
            + self.crash
            == 0.0
    }
}
