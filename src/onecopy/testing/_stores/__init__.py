"""The parts of `StoreContract`, by what a store is asked to do."""
