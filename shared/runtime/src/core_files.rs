//! No memory of a process in a file: what a register or a card says must not be left on a disk by a crash.

use std::io;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

/// From now on the system writes no core file of a process (none = of this one, and of those that it starts), and nobody
/// but root can allow it again. Fails where the system forbids to change limits.
pub fn no_core_files(of: Option<Pid>) -> io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    prlimit(of, Resource::Core, none)?;
    Ok(())
}
