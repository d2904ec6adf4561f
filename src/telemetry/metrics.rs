//! Every metric of the gateway: its name, its unit, its labels.
