//! Stage 1: sockets, client address, routing by path, bounded body.
