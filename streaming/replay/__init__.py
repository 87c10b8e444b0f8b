"""A history through the live engine: the source, the job, its digest and its snapshots."""
