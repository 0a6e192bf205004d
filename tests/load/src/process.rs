//! Processor time and memory of a process, and what the machine is, as `/proc` has them.

use std::fs::read_to_string;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// Clock ticks in a second (USER_HZ): 100 on every Linux that Roost runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// The share of the processors that others may use where it is quiet.
const QUIET: f64 = 0.05;

/// Seconds of processor time that process `pid` has used, in user and kernel mode, with all its threads.
///
/// # Errors
/// The process is gone.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} is gone"))?;
    let [user, system, ..] = times(&stat).context("cannot read the processor times in /proc/PID/stat")?;
    Ok((user + system) / TICKS_PER_SECOND)
}

/// Seconds of processor time that the threads of this process have used, to the nanosecond. Those that have ended are
/// not in it.
///
/// # Errors
/// `/proc` is not as on Linux, or the kernel does not count it (CONFIG_SCHED_INFO).
pub fn own_threads_cpu_seconds() -> Result<f64> {
    let mut nanoseconds = 0;
    for thread in std::fs::read_dir("/proc/self/task")? {
        // A thread may end just now.
        let Ok(text) = read_to_string(thread?.path().join("schedstat")) else { continue };
        nanoseconds += text.split(' ').next().and_then(|field| field.parse().ok()).unwrap_or(0u64);
    }
    ensure!(nanoseconds > 0, "the kernel does not count the time of threads in /proc/PID/task/*/schedstat");
    Ok(nanoseconds as f64 / 1e9)
}

/// KiB of memory of process `pid` that are resident.
///
/// # Errors
/// The process is gone.
pub fn resident_kib(pid: u32) -> Result<f64> {
    let status = read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid} is gone"))?;
    kib(&status, "VmRSS:").context("cannot read VmRSS in /proc/PID/status")
}

/// Seconds of processor time so far: of the whole machine, and of this process with its children that have ended.
///
/// # Errors
/// `/proc` is not as on Linux.
pub fn machine_and_own_cpu_seconds() -> Result<(f64, f64)> {
    let machine = busy(&read_to_string("/proc/stat")?).context("cannot read /proc/stat")?;
    let own = times(&read_to_string("/proc/self/stat")?).context("cannot read /proc/self/stat")?;
    Ok((machine / TICKS_PER_SECOND, own.iter().sum::<f64>() / TICKS_PER_SECOND))
}

/// Waits until other programs leave nearly all of the machine alone for a second, as long as there is patience; what was
/// waited is taken off it. `meanwhile` lets the time pass.
///
/// # Errors
/// `/proc` is not as on Linux, or `meanwhile` fails.
pub fn wait_for_quiet(patience: &mut Duration, mut meanwhile: impl FnMut(Duration) -> Result<()>) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    while !patience.is_zero() {
        let (machine_before, own_before) = machine_and_own_cpu_seconds()?;
        let begun = Instant::now();
        meanwhile(Duration::from_secs(1))?;
        let (machine_after, own_after) = machine_and_own_cpu_seconds()?;
        let others = (machine_after - machine_before) - (own_after - own_before);
        *patience = patience.saturating_sub(begun.elapsed());
        if others < QUIET * cores * begun.elapsed().as_secs_f64() {
            break;
        }
    }
    Ok(())
}

/// One line about this machine: cores, processor, memory, kernel.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let model = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown processor", |(_, name)| name.trim());
    let memory = read_to_string("/proc/meminfo").ok().and_then(|text| kib(&text, "MemTotal:")).unwrap_or(0.0);
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores ({model}), {:.1} GiB of memory, Linux {}", memory / 1024.0 / 1024.0, kernel.trim())
}

/// What a command prints, in one line; nothing if it cannot be run or fails.
pub fn says(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()).filter(|text| !text.is_empty())
}

/// utime, stime, cutime, cstime of a `stat` file: fields 14 to 17. The name before them may contain anything.
fn times(stat: &str) -> Option<[f64; 4]> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split_whitespace().skip(11).map(|field| field.parse().ok());
    Some([fields.next()??, fields.next()??, fields.next()??, fields.next()??])
}

/// Ticks in which the machine did something, of `/proc/stat`: all but idle and waiting for disks.
fn busy(stat: &str) -> Option<f64> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?;
    let fields: Vec<f64> = fields.split_whitespace().map(|field| field.parse().ok()).collect::<Option<_>>()?;
    let [user, nice, system, _idle, _waiting, interrupts, soft_interrupts, ..] = fields[..] else { return None };
    Some(user + nice + system + interrupts + soft_interrupts)
}

/// The number of KiB after `key`, at the beginning of a line.
fn kib(text: &str, key: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{busy, cpu_seconds, kib, resident_kib, times};

    #[test]
    fn times_are_found_after_a_name_with_spaces_and_parentheses() {
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194560 100 0 0 0 731 269 5 6 20 0 4 0 100 200 300";
        assert_eq!(times(stat), Some([731.0, 269.0, 5.0, 6.0]));
        assert_eq!(times("42 (short) S 1"), None);
    }

    #[test]
    fn idle_and_waiting_are_not_busy() {
        assert_eq!(busy("cpu  1 2 4 1000 2000 8 16 0 0 0\ncpu0 1 1 1 1\n"), Some(31.0));
        assert_eq!(busy("cpu  1 2\n"), None);
    }

    #[test]
    fn this_process_uses_processor_time() {
        let before = super::own_threads_cpu_seconds().unwrap();
        let begun = std::time::Instant::now();
        let mut waste = 0u64;
        while super::own_threads_cpu_seconds().unwrap() == before {
            waste = std::hint::black_box(waste.wrapping_add(1));
            assert!(begun.elapsed().as_secs() < 60);
        }
    }

    #[test]
    fn memory_is_found_by_its_key() {
        assert_eq!(kib("VmHWM:\t  900 kB\nVmRSS:\t  512 kB\n", "VmRSS:"), Some(512.0));
        assert_eq!(kib("VmHWM:\t  900 kB\n", "VmRSS:"), None);
    }

    #[test]
    fn this_process_is_there_and_one_that_cannot_be_is_not() {
        assert!(resident_kib(std::process::id()).unwrap() > 0.0);
        assert!(cpu_seconds(std::process::id()).unwrap() >= 0.0);
        assert!(cpu_seconds(u32::MAX).unwrap_err().to_string().contains("is gone"));
    }
}
