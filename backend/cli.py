import sys, typer
from rich.console import Console
from backend.commands import system
from backend.core.errors import PrelabelError, BadInputError, OutsideError
app = typer.Typer()
for f in (system.up, system.down, system.serve, system.worker, system.cron): app.command()(f)
def main():
    try: app()
    except PrelabelError as e:
        Console(stderr=True).print(f"error: {e}", markup=False); sys.exit(3 if isinstance(e, OutsideError) else 2)
if __name__=="__main__": main()
