//! Clocks that can be compared between processes, which `std::time::Instant` cannot.

fn read(clock: libc::clockid_t) -> Option<u64> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live, writable timespec.
    let code = unsafe { libc::clock_gettime(clock, &mut time) };
    (code == 0).then(|| time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Nanoseconds of CLOCK_MONOTONIC, the same for every process of the machine.
pub fn now_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC).expect("CLOCK_MONOTONIC is always readable")
}

/// CPU nanoseconds a process has used, all threads, ended ones included; `None` once it is gone.
/// `/proc/<pid>/stat` says the same in ticks of 10 ms, too coarse for a cell of two seconds.
pub fn process_cpu_ns(pid: i32) -> Option<u64> {
    let mut clock: libc::clockid_t = 0;
    // SAFETY: the pointer is to a live, writable clock id.
    let code = unsafe { libc::clock_getcpuclockid(pid, &mut clock) };
    if code == 0 { read(clock) } else { None }
}

/// Lets sleeps of this thread, and of threads it starts, end on time: the kernel may otherwise be 50 us late.
pub fn precise_sleep() {
    // SAFETY: a plain prctl with integer arguments; a refusal only leaves the default slack.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong) };
}

pub fn sleep_until(ns: u64) {
    let now = now_ns();
    if ns > now {
        std::thread::sleep(std::time::Duration::from_nanos(ns - now));
    }
}
