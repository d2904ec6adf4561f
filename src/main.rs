//! The binary: the allocator and the command line.

use std::process::ExitCode;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Measured: huge pages make an idle gateway hold 10 MB for 2 MB of heap. Where the kernel knows nothing of
    // them there is nothing to switch off.
    let _unknown = rustix::thread::disable_transparent_huge_pages(true);
    hookward::cli::main()
}
