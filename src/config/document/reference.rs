//! What `${NAME}`, `${NAME:-default}`, `{ file: path }`, the paths of certificates and the `file` beside a `feed` stand for,
//! put into the finished tree.
//!
//! `$${` is a literal `${`. Keys are never touched, and what is put in is never read as YAML, so that no value can
//! add a key or a line.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::problem::Problem;
use super::tree::{Kind, NodeId, Scalar, Tree};

/// The largest file that `{ file: … }` reads: a list of addresses may be long.
pub(crate) const REFERENCED_FILE_BYTES_MAX: u64 = 1 << 20;

/// Where references lead.
pub(crate) struct Surroundings<'a> {
    /// What a variable of the environment holds.
    pub(crate) variable: &'a dyn Fn(&str) -> Option<String>,
    /// What relative paths start from: the folder of the configuration file.
    pub(crate) folder: &'a Path,
}

/// Resolves every reference of the tree and returns the files that were read (or could not be), for watching.
pub(crate) fn resolve(tree: &mut Tree, surroundings: &Surroundings<'_>) -> (HashSet<PathBuf>, Vec<Problem>) {
    let mut files = HashSet::new();
    let mut problems = Vec::new();
    for id in tree.ids() {
        let Some(scalar) = tree.scalar(id) else { continue };
        if !scalar.text.contains("${") {
            continue;
        }
        match expand(&scalar.text, surroundings.variable) {
            Ok((text, referred)) => set(tree, id, text, referred),
            Err((message, hint)) => {
                problems.push(Problem::at(tree.place(id), message).hint(hint).path(tree.path(id)));
            }
        }
    }
    for id in tree.ids() {
        let whole = file_reference(tree, id).or_else(|| pem_path(tree, id)).map(|path| (id, path));
        let Some((id, path)) = whole.or_else(|| feed_file(tree, id)) else { continue };
        let path = surroundings.folder.join(path);
        match read(&path) {
            Ok(text) => {
                if let Some(node) = tree.get_mut(id) {
                    node.kind = Kind::Scalar(Scalar { text, plain: false, referred: true });
                }
                tree.files.insert(id, path.clone());
            }
            Err(message) => {
                let message = format!("cannot use the file {}: {message}", path.display());
                problems.push(Problem::at(tree.place(id), message).path(tree.path(id)));
            }
        }
        files.insert(path);
    }
    (files, problems)
}

fn set(tree: &mut Tree, id: NodeId, text: Zeroizing<String>, referred: bool) {
    if let Some(Kind::Scalar(scalar)) = tree.get_mut(id).map(|node| &mut node.kind) {
        scalar.text = text;
        scalar.referred |= referred;
    }
}

/// The path of a mapping whose only key is `file`; nothing in the configuration has such a key of its own.
fn file_reference(tree: &Tree, id: NodeId) -> Option<PathBuf> {
    match tree.entries(id) {
        [entry] if &*entry.key == "file" => {
            let scalar = tree.scalar(entry.value)?;
            (!scalar.text.trim().is_empty()).then(|| PathBuf::from(scalar.text.as_str()))
        }
        _ => None,
    }
}

/// The `file` beside a `feed`: the list itself, which somebody else has fetched.
fn feed_file(tree: &Tree, id: NodeId) -> Option<(NodeId, PathBuf)> {
    let entries = tree.entries(id);
    let file = entries.iter().find(|entry| &*entry.key == "file")?.value;
    let text = tree.scalar(file)?.text.trim();
    let is_one = !text.is_empty() && entries.iter().any(|entry| &*entry.key == "feed");
    is_one.then(|| (file, PathBuf::from(text)))
}

/// The path that stands for a certificate or a key of `ingress.tls` or `store.tls`: there a text that is no PEM is a file's name, as
/// nginx has it.
fn pem_path(tree: &Tree, id: NodeId) -> Option<PathBuf> {
    const KEYS: [&str; 4] = ["ca", "cert", "client_ca", "key"];
    let entry = tree.entry_of(id)?;
    let text = tree.scalar(id).filter(|scalar| !scalar.is_null())?.text.trim();
    let is_path = KEYS.contains(&&*entry.key) && !text.is_empty() && !text.contains("-----BEGIN");
    let path = tree.path(id);
    let is_tls = ["ingress.tls.", "store.tls."].iter().any(|section| path.starts_with(section));
    (is_path && is_tls).then(|| PathBuf::from(text))
}

/// The file's text without the line break that editors and `echo` leave at its end.
fn read(path: &Path) -> Result<Zeroizing<String>, String> {
    // Asked before it is opened: a pipe that nobody writes to would be waited for.
    if !std::fs::metadata(path).map_err(|error| error.to_string())?.is_file() {
        return Err("not a file".to_owned());
    }
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(REFERENCED_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > REFERENCED_FILE_BYTES_MAX {
        return Err(format!("larger than {} KiB", REFERENCED_FILE_BYTES_MAX >> 10));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_where| "not UTF-8 text".to_owned())?;
    Ok(Zeroizing::new(text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text)).to_owned()))
}

type Refused = (String, String);

/// The text with its references replaced, and whether there were any. What is put in is not expanded again.
fn expand(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<(Zeroizing<String>, bool), Refused> {
    let mut out = Zeroizing::new(String::with_capacity(text.len()));
    let mut referred = false;
    let mut rest = text;
    while let Some(dollar) = rest.find("${") {
        let (before, reference) = rest.split_at(dollar);
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = reference.get(2..).unwrap_or_default();
            continue;
        }
        out.push_str(before);
        let inner = reference.get(2..).unwrap_or_default();
        let Some((reference, after)) = inner.split_once('}') else {
            return Err((
                "`${` without its `}`".to_owned(),
                "write `${NAME}` or `${NAME:-default}`, and `$${` where the text itself is meant".to_owned(),
            ));
        };
        let (name, default) = match reference.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (reference, None),
        };
        if !is_variable_name(name) {
            return Err((
                "this is not a reference to a variable".to_owned(),
                "write `${NAME}` or `${NAME:-default}`, NAME of letters, digits and `_`; `$${` for the text itself"
                    .to_owned(),
            ));
        }
        referred = true;
        // As in a shell, `:-` also stands in for a variable that is set to nothing.
        match (variable(name).map(Zeroizing::new), default) {
            (Some(value), None) => out.push_str(&value),
            (Some(value), Some(_)) if !value.is_empty() => out.push_str(&value),
            (_, Some(default)) => out.push_str(default),
            (None, None) => {
                return Err((
                    format!("the environment variable {name} is not set"),
                    format!("set {name}, or write ${{{name}:-default}}"),
                ));
            }
        }
        rest = after;
    }
    out.push_str(rest);
    Ok((out, referred))
}

fn is_variable_name(name: &str) -> bool {
    const NAME_BYTES_MAX: usize = 128;
    name.len() <= NAME_BYTES_MAX
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
}
