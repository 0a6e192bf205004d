//! Renders history for a reader: pure, so that it can run wherever the rows are read.
