//! Faults of the world around the gateway, made on purpose (docs/reliability.md): a name service that lies, a disk that
//! answers late or not at all, a machine that is too small. Needs root: nothing here is skipped.

mod disk;
mod folder;
mod machine;
mod names;
