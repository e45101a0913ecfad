"""The HTTP service: BentoML in front, one worker thread that owns the model behind it."""
