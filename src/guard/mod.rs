//! Stage 2: the guards, one file each: a pure question; `layer` turns it into a tower layer once.
