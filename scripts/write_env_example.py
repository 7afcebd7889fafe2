"""Write env.example.txt from app.config.Settings: `python scripts/write_env_example.py > env.example.txt`."""

from app.config import Settings


def lines() -> list[str]:
    """Each setting as a comment with its meaning and a line with its default, commented out."""
    out = [
        "# Every setting with its default. Copy to .env, take the # away; the environment overrides .env.",
        "",
    ]
    for name, field in Settings.model_fields.items():
        value = field.default
        text = "" if value is None else ",".join(value) if isinstance(value, tuple) else value
        text = str(text).lower() if isinstance(value, bool) else text
        out += [f"# {field.description}", f"#{name.upper()}={text}", ""]
    return out


if __name__ == "__main__":
    print("\n".join(lines()).rstrip())
