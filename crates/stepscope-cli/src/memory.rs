//! How long memory that is free stays with the program.

use std::env;
use std::process::Command;

/// The allocator's setting: milliseconds after which it returns free memory to the kernel.
const SETTING: &str = "MIMALLOC_PURGE_DELAY";

/// Ten minutes in place of a second.
const DELAY: &str = "600000";

/// Has free memory kept for longer than the time between two readings.
///
/// A reading of the sharpness needs some tens of megabytes that a training step does not. Returned after a second, they would all be faulted in
/// again by the next reading, which takes as long as half of what it computes (`docs/performance.md`). The allocator reads its settings
/// from the environment before `main`, so the program starts once more, as the same process; where that fails it goes on as it is. Whoever has set
/// the variable is left alone.
pub(crate) fn keep() {
    #[cfg(unix)]
    if env::var_os(SETTING).is_none()
        && let Ok(program) = env::current_exe()
    {
        use std::os::unix::process::CommandExt;
        let mut again = Command::new(program);
        if let Some(name) = env::args_os().next() {
            again.arg0(name);
        }
        // Comes back only where it failed.
        let _failed = again.args(env::args_os().skip(1)).env(SETTING, DELAY).exec();
    }
}
