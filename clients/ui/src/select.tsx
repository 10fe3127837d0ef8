import { Combobox } from "@kobalte/core/combobox";
import type { JSX } from "solid-js";
import { Icon, type IconName } from "./icon.tsx";

/** One of many names, found by typing a part of it. */
export function Select(props: {
  label: string;
  options: string[];
  value: string | null;
  onChange: (value: string) => void;
  placeholder: string;
  icon?: IconName;
}): JSX.Element {
  return (
    <Combobox<string>
      class="select"
      options={props.options}
      value={props.value}
      onChange={(value) => value !== null && props.onChange(value)}
      placeholder={props.placeholder}
      defaultFilter="contains"
      triggerMode="focus"
      itemComponent={(item) => (
        <Combobox.Item item={item.item} class="option">
          <Combobox.ItemLabel>{item.item.rawValue}</Combobox.ItemLabel>
          <Combobox.ItemIndicator>
            <Icon name="check" />
          </Combobox.ItemIndicator>
        </Combobox.Item>
      )}
    >
      <Combobox.Label class="hidden-words">{props.label}</Combobox.Label>
      <Combobox.Control class="select-control">
        {props.icon ? <Icon name={props.icon} /> : null}
        <Combobox.Input class="select-input" />
        <Combobox.Trigger class="select-trigger" aria-label={`${props.label}: show all`}>
          <Icon name="chevron" />
        </Combobox.Trigger>
      </Combobox.Control>
      <Combobox.Portal>
        <Combobox.Content class="popover">
          <Combobox.Listbox class="options" />
        </Combobox.Content>
      </Combobox.Portal>
    </Combobox>
  );
}
