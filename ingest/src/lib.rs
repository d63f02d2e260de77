//! Journal records to readings.
