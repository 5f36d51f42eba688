"""Events as objects of the application's own classes: `registry` says which, `plain` and `shapes` convert them."""
