//! The live view of runs, in a browser and in a terminal.
