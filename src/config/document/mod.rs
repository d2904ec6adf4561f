//! The text of a configuration as a tree whose every node knows its line, its column and its key path.
//!
//! [`parse`] reads YAML within fixed bounds (bytes, nodes, depth), [`reference`] puts in what `${NAME}` and
//! `{ file: … }` stand for, [`decode`] hands the tree to serde and collects every independent problem, and
//! [`problem`] shows a problem with its place in the text, secrets masked.
//!
//! References are resolved in the finished tree, never in the text: no value can add a key, a list entry
//! or a line. What is deliberately absent: tags (`!!int`, `!custom`), several documents in one file, keys
//! that are not plain names.
//!
//! The parser is granit-parser, the one under serde-saphyr, which is not used itself: it stops at the first problem, and
//! it does not look for references in quoted scalars, where people write them.

mod access;
pub(super) mod decode;
pub(super) mod excerpt;
pub(super) mod fault;
pub(super) mod parse;
pub(super) mod problem;
pub(super) mod reference;
pub(super) mod spanned;
pub(super) mod tree;
