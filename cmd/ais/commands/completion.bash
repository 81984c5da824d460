# bash completion of the command "ais"
_ais_complete() {
	local line="${COMP_LINE:0:COMP_POINT}" current="" prefix="" candidates candidate
	local -a before
	# Words are split at blanks only, so that "ais://bucket" stays whole.
	read -r -a before <<<"$line"
	if [[ "$line" != *[[:space:]] ]]; then
		current="${before[${#before[@]} - 1]}"
		unset "before[${#before[@]}-1]"
	fi
	[[ ${#before[@]} -gt 0 ]] || return 0
	if [[ "$current" == -* ]]; then
		candidates="$("${before[@]}" "$current" --generate-bash-completion 2>/dev/null)"
	else
		candidates="$("${before[@]}" --generate-bash-completion 2>/dev/null)"
	fi
	# Readline replaces only what follows the last colon.
	if [[ "$current" == *:* && "$COMP_WORDBREAKS" == *:* ]]; then
		prefix="${current%"${current##*:}"}"
	fi
	COMPREPLY=()
	while IFS= read -r candidate; do
		if [[ -n "$candidate" && "$candidate" == "$current"* ]]; then
			COMPREPLY+=("${candidate#"$prefix"}")
		fi
	done <<<"$candidates"
	if [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" == */ ]]; then
		compopt -o nospace 2>/dev/null
	fi
}
complete -o bashdefault -o default -F _ais_complete ais
