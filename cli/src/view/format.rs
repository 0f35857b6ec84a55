//! Short forms of numbers.

use std::time::Duration;

/// 950, 1.2k, 34.5k, 1.2M.
pub fn count(value: f64) -> String {
    if !value.is_finite() || value < 0.0 {
        return "-".into();
    }
    // The limits are where rounding to one digit would print 1000.
    let (scaled, unit) = match value {
        v if v < 999.5 => return format!("{v:.0}"),
        v if v < 999_950.0 => (v / 1e3, "k"),
        v if v < 999_950_000.0 => (v / 1e6, "M"),
        v => (v / 1e9, "G"),
    };
    format!("{scaled:.1}{unit}")
}

/// 12s, 1m20s, 2h05m, 3d04h; "-" while unknown (negative).
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "-".into();
    }
    let whole = Duration::from_secs_f64(seconds.round().min(1e12)).as_secs();
    let (days, hours, minutes, rest) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60, whole % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest}s"),
        (0, 0, _) => format!("{minutes}m{rest:02}s"),
        (0, _, _) => format!("{hours}h{minutes:02}m"),
        _ => format!("{days}d{hours:02}h"),
    }
}

/// The age of something recent: 0.4 s, 12 s.
pub fn age(seconds: f64) -> String {
    if seconds < 10.0 { format!("{seconds:.1} s") } else { format!("{seconds:.0} s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        let shown = [0.0, 999.4, 999.6, 1234.0, 999_960.0, 2.5e9, f64::NAN].map(count);
        assert_eq!(shown, ["0", "999", "1.0k", "1.2k", "1.0M", "2.5G", "-"]);
    }

    #[test]
    fn durations() {
        let shown = [-1.0, 0.4, 59.6, 80.0, 7500.0, 273_600.0, f64::INFINITY].map(duration);
        assert_eq!(shown, ["-", "0s", "1m00s", "1m20s", "2h05m", "3d04h", "-"]);
    }
}
