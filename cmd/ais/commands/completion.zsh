#compdef ais
# zsh completion of the command "ais"
_ais() {
	local current="${words[CURRENT]}"
	local -a before candidates
	before=("${(@)words[1,CURRENT-1]}")
	if [[ "$current" == -* ]]; then
		before+=("$current")
	fi
	candidates=("${(@f)$("${(@Q)before}" --generate-bash-completion 2>/dev/null)}")
	candidates=("${(@)candidates:#}")
	if (( ${#candidates} )); then
		compadd -- "${(@)candidates}"
	else
		_files
	fi
}
if [[ "${funcstack[1]}" == "_ais" ]]; then
	_ais "$@"
else
	compdef _ais ais
fi
