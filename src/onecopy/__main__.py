"""`python -m onecopy`: the `onecopy` command of this interpreter."""

from onecopy.cli import main

if __name__ == "__main__":
    main()
