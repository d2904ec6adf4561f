//! The admin port: health, metrics and the management API.
