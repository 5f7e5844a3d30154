"""The Spark SQL of leaves that ask about more than one value of a tag: parts to join, answers, and what they rest on."""
