# Completion of phronyctl's commands and options for bash; what there is to
# complete is asked of phronyctl itself.

_phronyctl_commands() {
    phronyctl --help 2>/dev/null | sed -n '/^  [a-z]/s/^  //p' \
        | sed 's/  .*//; s/ [[A-Z].*//'
}


_phronyctl() {
    local current=$2 command first

    first=${COMP_WORDS[1]:-}
    command=$first

    case $first in
        key | trigger | workspace)
            command="$first ${COMP_WORDS[2]:-}"
            ;;
    esac

    COMPREPLY=()

    case $3 in
        --*file | --config | --ca | --cert | --cert-key | --policy | --key-out)
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return
            ;;
        --color | --progress)
            mapfile -t COMPREPLY \
                < <(compgen -W 'auto always never' -- "$current")
            return
            ;;
        --duplicates)
            mapfile -t COMPREPLY \
                < <(compgen -W 'replay annotate off' -- "$current")
            return
            ;;
    esac

    if test "$COMP_CWORD" = 1; then
        mapfile -t COMPREPLY < <(compgen -W "$(_phronyctl_commands \
            | sed 's/ .*//' | sort -u)" -- "$current")
        return
    fi

    if test "$COMP_CWORD" = 2 && test "$command" != "$first"; then
        mapfile -t COMPREPLY < <(compgen -W "$(_phronyctl_commands \
            | sed -n "s/^$first //p")" -- "$current")
        return
    fi

    case $current in
        -*)
            # shellcheck disable=SC2086
            mapfile -t COMPREPLY < <(compgen -W "$(phronyctl $command --help \
                2>/dev/null | sed -n 's/^  \(--[a-z-]*\).*/\1/p')" \
                -- "$current")
            ;;
        *)
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            ;;
    esac
}


complete -F _phronyctl phronyctl
