"""The parts that come with Genever: one folder for each slot, one idea a file; each folder is a pluggy plugin."""
