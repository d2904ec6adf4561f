//! How much memory there is: what the control group allows (version 1 or 2), or else what the machine has.

use std::path::{Component, Path};

/// Where the files lie that tell.
pub(super) const ROOT: &str = "/";

/// What bodies may take by default is this part of the memory.
const BODIES_PART: u64 = 8;

/// At least so much, in bytes: the largest body of a preset (GitHub's, 25 MiB) must find room.
const BODIES_MIN: u64 = 32 << 20;

/// At most so much, in bytes: more is not in flight at a time on any machine that was measured.
const BODIES_MAX: u64 = 256 << 20;

/// The default of `ingress.body_memory_max`, in bytes, by the files under `root`. The largest body that somebody wrote into
/// the configuration must find room too, as far as the most allows.
pub(super) fn for_bodies(root: &Path, largest: u64) -> u64 {
    let least = largest.clamp(BODIES_MIN, BODIES_MAX);
    limit(root).map_or(BODIES_MAX, |memory| (memory / BODIES_PART).clamp(least, BODIES_MAX))
}

/// The memory that this process may take, in bytes; `None` where nothing tells.
fn limit(root: &Path) -> Option<u64> {
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    groups.lines().filter_map(|line| of_group(root, line)).chain(of_machine(root)).min()
}

/// What a line of `/proc/self/cgroup` leads to: `number:controllers:path`, without controllers in version 2 (cgroups(7)).
fn of_group(root: &Path, line: &str) -> Option<u64> {
    let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
    let (mounted, file) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max"),
        _ if controllers.split(',').any(|name| name == "memory") => ("sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        _ => return None,
    };
    let path = Path::new(path.trim_start_matches('/'));
    // A group outside of what this process sees, as a container's may be named: only the mounted root counts then.
    let is_inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    let path = if is_inside { path } else { Path::new("") };
    // A limit holds for every group below; `max` is none.
    path.ancestors().filter_map(|group| number(&root.join(mounted).join(group).join(file))).min()
}

/// `MemTotal` of `/proc/meminfo`, which is in KiB (proc(5)).
fn of_machine(root: &Path) -> Option<u64> {
    let told = std::fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = told.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

fn number(file: &Path) -> Option<u64> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// What becomes of these files.
    #[track_caller]
    fn check(files: &[(&str, &str)], limit_mib: Option<u64>, for_bodies_mib: u64) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        assert_eq!(limit(root.path()), limit_mib.map(|mib| mib * MIB), "{files:?}");
        assert_eq!(for_bodies(root.path(), 0), for_bodies_mib * MIB, "{files:?}");
        for (largest, least) in [(31, 32), (100, 100), (300, 256)] {
            assert_eq!(for_bodies(root.path(), largest * MIB), for_bodies_mib.max(least) * MIB, "{files:?}");
        }
    }

    const MACHINE: (&str, &str) = ("proc/meminfo", "MemFree:  1 kB\nMemTotal:       16777216 kB\nBuffers: 1 kB\n");

    #[test]
    fn an_eighth_of_the_memory_that_there_is() {
        check(&[], None, 256);
        check(&[MACHINE], Some(16384), 256);
        check(&[("proc/meminfo", "MemTotal: 1048576 kB\n")], Some(1024), 128);
        check(&[("proc/meminfo", "MemTotal: 65536 kB\n")], Some(64), 32);
        check(&[("proc/meminfo", "MemTotal: none\n")], None, 256);
    }

    #[test]
    fn version_2_the_smallest_limit_from_the_group_up() {
        let group = ("proc/self/cgroup", "0::/kubepods/pod1/box\n");
        let of = |path: &'static str, text: &'static str| (path, text);
        let own = of("sys/fs/cgroup/kubepods/pod1/box/memory.max", "1073741824\n");
        let unlimited = of("sys/fs/cgroup/kubepods/pod1/box/memory.max", "max\n");
        let above = of("sys/fs/cgroup/kubepods/pod1/memory.max", "536870912\n");
        check(&[MACHINE, group, own], Some(1024), 128);
        check(&[MACHINE, group, own, above], Some(512), 64);
        check(&[MACHINE, group, unlimited, above], Some(512), 64);
        check(&[MACHINE, group, unlimited], Some(16384), 256);
        // In a container with a view of its own.
        let mounted = of("sys/fs/cgroup/memory.max", "268435456\n");
        check(&[MACHINE, ("proc/self/cgroup", "0::/\n"), mounted], Some(256), 32);
        check(&[MACHINE, ("proc/self/cgroup", "0::/../../other\n"), mounted], Some(256), 32);
    }

    #[test]
    fn version_1_also_where_the_container_does_not_see_its_groups_name() {
        let groups = ("proc/self/cgroup", "5:cpu,cpuacct:/docker/a\n4:hugetlb,memory:/docker/a\n0::/\n");
        let own = ("sys/fs/cgroup/memory/docker/a/memory.limit_in_bytes", "1073741824\n");
        let mounted = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n");
        let unlimited = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        check(&[MACHINE, groups, own], Some(1024), 128);
        check(&[MACHINE, groups, own, unlimited], Some(1024), 128);
        check(&[MACHINE, groups, mounted], Some(512), 64);
        check(&[MACHINE, groups, unlimited], Some(16384), 256);
        check(&[MACHINE, ("proc/self/cgroup", "no line of these\n1:memory\n"), mounted], Some(16384), 256);
    }
}
