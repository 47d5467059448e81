//! Point, the one record.
