"""`python -m api.cli`: how `footnote serve` starts its children, whatever the console script is called."""

from api.cli import main

if __name__ == "__main__":
    main()
