"""Video instance segmentation: masks, classes and stable ids for every object in a video."""
