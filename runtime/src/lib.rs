//! How each process starts, reports and stops.
