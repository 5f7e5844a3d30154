"""People who are alike by their tags: micro-segments, declared, computed on a night, frozen for a period and described."""
