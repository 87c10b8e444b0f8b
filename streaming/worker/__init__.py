"""One worker process: the engine on a link, its deadlines, its fallback, its model."""
