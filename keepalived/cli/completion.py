"""`clkeepalived completion`: shell completion of commands, options and session ids."""

from __future__ import annotations

import click

# bash splits words at colons, and session ids contain one: the script joins the parts before it
# asks the program, and strips from the answers the part that bash has already consumed.
_BASH = """\
_clkeepalived() {
    local IFS=$'\\n' word line type value kept="" index
    local -a words=()
    COMPREPLY=()
    for ((index = 0; index <= COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]}
        if ((index > 1)) && [[ $word == :* || ${COMP_WORDS[index - 1]} == *: ]]; then
            words[${#words[@]} - 1]+=$word
        else
            words+=("$word")
        fi
    done
    word=${words[${#words[@]} - 1]}
    [[ $word == *:* && $COMP_WORDBREAKS == *:* ]] && kept=${word%:*}:
    line=$(IFS=' '; COMP_WORDS="${words[*]}" COMP_CWORD=$((${#words[@]} - 1)) \\
        _CLKEEPALIVED_COMPLETE=bash_complete "$1" 2>/dev/null)
    for line in $line; do
        IFS=, read -r type value <<<"$line"
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("${value#"$kept"}") ;;
        esac
    done
}
complete -o nosort -F _clkeepalived clkeepalived
"""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a completion script for a shell. Session ids are completed from the daemon.

    \b
    bash   clkeepalived completion bash > /etc/bash_completion.d/clkeepalived
    zsh    clkeepalived completion zsh > "${fpath[1]}/_clkeepalived"
    fish   clkeepalived completion fish > ~/.config/fish/completions/clkeepalived.fish
    """
    from click.shell_completion import get_completion_class

    from keepalived.cli.main import main

    if shell == "bash":
        click.echo(_BASH, nl=False)
        return
    completion_class = get_completion_class(shell)
    if completion_class is None:
        raise click.ClickException(f"this version of click has no completion for {shell}")
    script = completion_class(main, {}, "clkeepalived", "_CLKEEPALIVED_COMPLETE").source()
    click.echo(script, nl=False)
